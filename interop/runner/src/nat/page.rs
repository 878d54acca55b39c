//! The page of `dunlin serve`, called by browsers that have no UDP: its own TURN server has to carry them.

use super::lab::{Lab, SERVERS};
use super::meet::{Met, Route};
use super::server::{Identity, Over, listening, ours};
use crate::dtls::program::Program;
use crate::peers::{Flavour, Peers, Tab};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Ports that any firewall lets through, so that one lab serves both cases; the plain relay's is any other.
const PAGE: u16 = 80;
const TLS: u16 = 443;
const PLAIN: u16 = 3480;
/// How long a page may take to connect, in seconds.
const SOON: u64 = 20;

/// Both sides call one program at once, each from a browser; their firewalls leave them this way.
pub async fn call(lab: &Lab, peers: &[Peers; 2], identity: &Identity, over: Over) -> Result<Met, String> {
    let ip = SERVERS[1];
    let serve = start(lab, identity, ip).await?;
    let address = format!("http://{ip}:{PAGE}/");
    let [a, b] = peers;
    let calls = tokio::try_join!(one(a, &address, over), one(b, &address, over));
    let (one, other) = calls.map_err(|reason| format!("{reason}\n{}", serve.tail()))?;
    let relay = "relay".to_owned();
    Ok(Met {
        route: Route {
            kinds: [relay.clone(), relay],
            over: [Some(over); 2],
        },
        took: one.max(other),
        note: String::new(),
    })
}

async fn start(lab: &Lab, identity: &Identity, ip: IpAddr) -> Result<Program, String> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &lab.public()]).arg(ours()?);
    command.args(["serve", "--bind", &ip.to_string(), "--port", &PAGE.to_string()]);
    command.args(["--turn", "--turn-port", &PLAIN.to_string()]);
    command.args(["--turn-tls-port", &TLS.to_string()]);
    command.arg("--turn-cert").arg(identity.file("cert.pem"));
    command.arg("--turn-key").arg(identity.file("key.pem"));
    let program = Program::start("dunlin serve", command)?;
    listening(&program, &[PAGE, PLAIN, TLS], ip).await?;
    Ok(program)
}

/// One browser's call: picture and sound out and back, a message, and the way it went.
async fn one(peers: &Peers, address: &str, over: Over) -> Result<Duration, String> {
    let browser = peers.chromium_in(Flavour::AnyCertificate).await?;
    let tab = Tab::open(&browser, address).await?;
    let began = Instant::now();
    tab.evaluate(
        "document.getElementById('source').value = 'generated'; document.getElementById('call').click()",
    )
    .await?;
    let connected = "document.querySelector('[data-state=connection]').className === 'good'";
    let result = tab.until(connected, SOON).await;
    let took = began.elapsed();
    let result = match result {
        Ok(()) => talk(&tab, over).await,
        Err(reason) => Err(reason),
    };
    if let Err(reason) = result {
        let told = tab.evaluate("document.getElementById('events').innerText").await;
        let told = told.unwrap_or_default();
        return Err(format!(
            "{reason}\nthe page says:\n{}",
            told.as_str().unwrap_or_default()
        ));
    }
    tab.evaluate("document.getElementById('hangup').click()").await?;
    tab.leave().await;
    Ok(took)
}

async fn talk(tab: &Tab<'_>, over: Over) -> Result<(), String> {
    tab.until("call.chat.readyState === 'open'", SOON).await?;
    tab.evaluate(
        "document.getElementById('text').value = 'through the relay'; \
         document.getElementById('chat').requestSubmit()",
    )
    .await?;
    let back =
        "[...document.querySelectorAll('#log .back')].some((p) => p.textContent === 'through the relay')";
    tab.until(back, SOON).await?;
    tab.until("document.getElementById('remote').videoWidth > 0", SOON)
        .await?;
    let way = tab.evaluate(WAY).await?;
    let wanted = format!("relay {}", over.name());
    if way == wanted.as_str() {
        Ok(())
    } else {
        Err(format!("the call goes by {way}, not by {wanted}"))
    }
}

/// What the browser's selected candidate is.
const WAY: &str = "(async () => {
    const all = [...(await call.pc.getStats()).values()];
    const transport = all.find((s) => s.type === 'transport');
    const pair = all.find((s) => s.id === transport.selectedCandidatePairId);
    const local = all.find((s) => s.id === pair.localCandidateId);
    return local.candidateType + ' ' + local.relayProtocol;
})()";
