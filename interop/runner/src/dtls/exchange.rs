//! One cell: both programs are started, shake hands, are compared, talk both ways and say goodbye.

use super::driver::{Close, Driver};
use super::files::Files;
use super::ours::{self, Connected};
use super::program::Program;
use super::setup::{Role, Setup};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// How long a handshake may take: a lost first datagram costs 400 ms, and there may be other work.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// How long anything else may take.
const SOON: Duration = Duration::from_secs(8);

/// How often each end says something; enough for a change of keys in between.
const ROUNDS: usize = 4;

/// The two programs of a cell.
#[derive(Debug)]
struct Ends {
    ours: Program,
    theirs: Program,
}

/// Runs a cell; a success says what was agreed on.
pub async fn run(driver: &Driver, setup: &Setup, files: &Files) -> Result<String, String> {
    let mut ends = start(driver, setup, files).await?;
    let result = if setup.forged {
        refused(&ends).await
    } else {
        talk(driver, setup, &mut ends).await
    };
    let result = result.map_err(|reason| format!("{reason}\n{}\n{}", ends.ours.tail(), ends.theirs.tail()));
    ends.ours.kill().await;
    ends.theirs.kill().await;
    result
}

/// The server first, then the client.
async fn start(driver: &Driver, setup: &Setup, files: &Files) -> Result<Ends, String> {
    let start_ours = |address| Program::start("dtls_peer", ours::command(setup, files, address));
    let start_theirs = |address| Program::start(driver.name, (driver.command)(setup, files, address));
    let tail = |program: &Program, reason: String| format!("{reason}\n{}", program.tail());
    if setup.we == Role::Server {
        let ours = start_ours(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = ours.until(SOON, "address to listen on", ours::listening).await;
        let address = address.map_err(|reason| tail(&ours, reason))?;
        let theirs = start_theirs(address)?;
        return Ok(Ends { ours, theirs });
    }
    let told = free_address(driver)?;
    let theirs = start_theirs(told)?;
    let address = theirs
        .until(SOON, "address to listen on", |texts| {
            (driver.listening)(texts, told)
        })
        .await;
    let address = address.map_err(|reason| tail(&theirs, reason))?;
    let ours = start_ours(address)?;
    Ok(Ends { ours, theirs })
}

/// A port that was free a moment ago, for servers that cannot choose one themselves and say which.
fn free_address(driver: &Driver) -> Result<SocketAddr, String> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    if driver.chooses_port {
        return Ok(any);
    }
    let socket = UdpSocket::bind(any);
    socket
        .and_then(|socket| socket.local_addr())
        .map_err(|error| format!("there is no free port: {error}"))
}

/// The handshake must fail, and for the fingerprint.
async fn refused(ends: &Ends) -> Result<String, String> {
    match ends.ours.until(HANDSHAKE, "handshake", ours::connected).await? {
        Ok(_) => Err("connected in spite of the fingerprint".to_owned()),
        Err(reason) if reason.to_lowercase().contains("fingerprint") => Ok(reason),
        Err(reason) => Err(format!("failed, but not for the fingerprint: {reason}")),
    }
}

async fn talk(driver: &Driver, setup: &Setup, ends: &mut Ends) -> Result<String, String> {
    let ours = ends.ours.until(HANDSHAKE, "handshake", ours::connected).await??;
    let theirs = ends
        .theirs
        .until(SOON, "handshake", |texts| (driver.connected)(setup, texts))
        .await?;
    agreed(setup, &ours)?;
    if let Some(exported) = theirs.exported
        && exported != ours.exported
    {
        return Err(format!(
            "we export {}, the peer exports {exported}",
            ours.exported
        ));
    }
    for round in 0..ROUNDS {
        let (ours, theirs) = (
            format!("hello {round} from dunlin"),
            format!("hello {round} from the peer"),
        );
        ends.ours.tell(&ours).await?;
        if (driver.echoes)(setup) {
            ends.ours.says(SOON, &ours).await?;
        } else {
            ends.theirs.says(SOON, &ours).await?;
            ends.theirs.tell(&theirs).await?;
            ends.ours.says(SOON, &theirs).await?;
        }
    }
    goodbye(driver, setup, ends).await?;
    Ok(format!("{} {} {}", ours.version, ours.group, ours.suite))
}

/// What was agreed on is what had to be.
fn agreed(setup: &Setup, ours: &Connected) -> Result<(), String> {
    let wrong = |what: &str, is: &str, should: &str| {
        if is.eq_ignore_ascii_case(should) {
            return Ok(());
        }
        Err(format!("the {what} is {is}, it should be {should}"))
    };
    wrong("version", &ours.version, &setup.version.to_string())?;
    if let Some(group) = setup.group() {
        wrong("group", &ours.group, group.name())?;
    }
    if let Some(part) = setup.suite
        && !ours.suite.contains(part)
    {
        return wrong("cipher suite", &ours.suite, part);
    }
    let srtp = |profile: Option<u64>| profile.map_or("none".to_owned(), |profile| profile.to_string());
    wrong(
        "SRTP profile",
        &srtp(ours.srtp),
        &srtp(setup.srtp().map(u64::from)),
    )?;
    let alpn = if setup.alpn { "webrtc" } else { "none" };
    wrong("protocol", ours.alpn.as_deref().unwrap_or("none"), alpn)
}

/// One end closes; our program notices or says so, and ends with success.
async fn goodbye(driver: &Driver, setup: &Setup, ends: &mut Ends) -> Result<(), String> {
    if setup.peer_closes {
        let role = if setup.we == Role::Client {
            Role::Server
        } else {
            Role::Client
        };
        match (driver.close)(role) {
            Close::Line(line) => ends.theirs.tell(line).await?,
            Close::EndOfInput => ends.theirs.end_input(),
            Close::Cannot(reason) => return Err(reason.to_owned()),
        }
    } else {
        ends.ours.end_input();
    }
    let reason = ends.ours.until(SOON, "goodbye", ours::closed).await?;
    let by_peer = reason.contains("peer");
    if by_peer != setup.peer_closes {
        return Err(format!("closed, but: {reason}"));
    }
    for (wanted, name) in [
        (setup.key_update, "keyUpdatesSent"),
        (setup.their_key_update, "keyUpdatesReceived"),
    ] {
        let count = ends
            .ours
            .until(SOON, name, |texts| ours::counter(texts, name))
            .await?;
        if wanted && count == 0 {
            return Err(format!("{name} is 0"));
        }
    }
    ends.ours.success(SOON).await
}
