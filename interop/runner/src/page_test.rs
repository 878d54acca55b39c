//! The program's page, used as a person would: call, chat, throughput, every codec, hang up; and `POST /offer`.
//! Leaves a screenshot in `target/interop/`.

use crate::peers::{Browser, Flavour, Tab, folder};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Runs it and prints a line for each step.
pub async fn run() -> Result<(), String> {
    let program = program()?;
    let (mut child, address) = serve(&program).await?;
    let browser = Browser::launch(Flavour::Usual, None).await?;
    let result = steps(&browser, &address, &program).await;
    browser.kill().await;
    let _ = child.kill().await;
    result
}

async fn steps(browser: &Browser, address: &str, program: &PathBuf) -> Result<(), String> {
    let tab = Tab::open(browser, address).await?;
    tab.resize(1280, 960).await?;
    let result = page(&tab).await;
    let picture = tab.screenshot(&screenshot_path()).await;
    if let Err(reason) = result {
        let told = tab
            .evaluate("document.getElementById('events').innerText")
            .await
            .unwrap_or_default();
        return Err(format!(
            "{reason}\nthe page says:\n{}",
            told.as_str().unwrap_or_default()
        ));
    }
    step("screenshot", &picture?.display().to_string());
    for codec in ["VP8", "VP9", "H264", "AV1"] {
        call_with(&tab, codec)
            .await
            .map_err(|reason| format!("{codec}: {reason}"))?;
    }
    let echoed = tab
        .evaluate(POST_OFFER)
        .await
        .map_err(|reason| format!("POST /offer: {reason}"))?;
    step("POST /offer", echoed.as_str().unwrap_or_default());
    mistakes(program, address).await
}

fn step(name: &str, detail: &str) {
    eprintln!("ok     page: {name}  {detail}");
}

/// One call with everything on the page.
async fn page(tab: &Tab<'_>) -> Result<(), String> {
    tab.evaluate(
        "document.getElementById('source').value = 'generated'; document.getElementById('call').click()",
    )
    .await?;
    for state in ["signaling", "ice", "connection", "server"] {
        let shown = format!("document.querySelector('[data-state={state}]').className === 'good'");
        tab.until(&shown, 15)
            .await
            .map_err(|reason| format!("{state} is not shown as good: {reason}"))?;
    }
    step("connected", &tab.text("setup").await?);
    for (id, what) in [
        ("rtt-data", "the data channel's round trip"),
        ("rtt-ice", "ICE's round trip"),
        ("rtt-picture", "the picture's round trip"),
    ] {
        let shown = format!("document.getElementById('{id}').textContent.endsWith(' ms')");
        tab.until(&shown, 15)
            .await
            .map_err(|reason| format!("{what} is not shown: {reason}"))?;
        step(what, &tab.text(id).await?);
    }
    picture_moves(tab).await?;
    tab.until("document.getElementById('level').value > 0.05", 10)
        .await
        .map_err(|_| "no sound comes back")?;
    step("sound back", "");
    tab.evaluate(
        "document.getElementById('text').value = 'hello, dunlin'; \
         document.getElementById('chat').requestSubmit()",
    )
    .await?;
    tab.until(
        "[...document.querySelectorAll('#log .back')].some((p) => p.textContent === 'hello, dunlin')",
        10,
    )
    .await
    .map_err(|_| "the chat message does not come back")?;
    step("chat", "");
    for (button, id) in [("upload", "rate-up"), ("download", "rate-down")] {
        tab.evaluate(&format!("document.getElementById('{button}').click()"))
            .await?;
        tab.until(
            &format!("document.getElementById('{id}').textContent.endsWith('B/s')"),
            30,
        )
        .await
        .map_err(|_| format!("the {button} test does not end"))?;
        step(button, &tab.text(id).await?);
    }
    for table in ["stats-browser", "stats-dunlin"] {
        tab.until(&format!("document.querySelectorAll('#{table} tr').length > 3"), 5)
            .await
            .map_err(|_| format!("the table {table} is empty"))?;
    }
    security(tab).await?;
    let notice = tab.evaluate("document.getElementById('notice').hidden").await?;
    if notice != true {
        return Err(format!("the page complains: {}", tab.text("notice").await?));
    }
    picture_moves(tab).await
}

/// What protects the call: version, suite, group and SRTP profile, as a browser of today agrees on them with us.
async fn security(tab: &Tab<'_>) -> Result<(), String> {
    let rows = tab
        .evaluate(
            "Object.fromEntries([...document.querySelectorAll('#stats-dunlin tr')]\
             .map((row) => [...row.children].map((cell) => cell.textContent)))",
        )
        .await?;
    for (row, parts) in [
        ("DTLS", ["connected", "1.3", "TLS_"].as_slice()),
        ("key agreement", &["X25519MLKEM768"]),
        // Which of its profiles a browser prefers is its own affair.
        ("SRTP", &["AES"]),
    ] {
        let shown = rows[row].as_str().unwrap_or_default();
        if !parts.iter().all(|part| shown.contains(part)) {
            return Err(format!(
                "the row `{row}` says `{shown}`, without some of {parts:?}"
            ));
        }
        step(row, shown);
    }
    Ok(())
}

/// Frames come back: the element's own counter rises.
async fn picture_moves(tab: &Tab<'_>) -> Result<(), String> {
    let count = "document.getElementById('remote').getVideoPlaybackQuality().totalVideoFrames";
    tab.until(&format!("{count} > 10"), 15)
        .await
        .map_err(|_| "no picture comes back")?;
    let before = tab.evaluate(count).await?.as_f64().unwrap_or(0.0);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let frames = tab.evaluate(count).await?.as_f64().unwrap_or(0.0) - before;
    if frames < 30.0 {
        return Err(format!("{frames} frames came back in 3 s"));
    }
    step("picture back", &format!("{:.0} frames per second", frames / 3.0));
    Ok(())
}

/// Hangs up, calls again with this codec, and sees the picture.
async fn call_with(tab: &Tab<'_>, codec: &str) -> Result<(), String> {
    let call = format!(
        "document.getElementById('hangup').click(); document.getElementById('codec').value = '{codec}'; \
         document.getElementById('call').click()"
    );
    tab.evaluate(&call).await?;
    picture_moves(tab).await?;
    let table = "document.getElementById('stats-browser').innerText";
    tab.until(
        &format!("{table}.toLowerCase().includes('video/{}')", codec.to_lowercase()),
        10,
    )
    .await
    .map_err(|_| "another codec came back".to_owned())?;
    step("codec", codec);
    Ok(())
}

/// Anyone's client: an offer with its candidates, an answer with ours, an echo.
const POST_OFFER: &str = r"(async () => {
  const pc = new RTCPeerConnection();
  const channel = pc.createDataChannel('anything');
  const echo = new Promise((resolve) => (channel.onmessage = ({ data }) => resolve(data)));
  channel.onopen = () => channel.send('from anyone');
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== 'complete') {
    await new Promise((resolve) => pc.addEventListener('icegatheringstatechange', resolve, { once: true }));
  }
  const { type, sdp } = pc.localDescription;
  const response = await fetch('/offer', { method: 'POST', body: JSON.stringify({ type, sdp }) });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  await pc.setRemoteDescription(await response.json());
  const late = () => new Error(`no echo within 10 s: ${pc.connectionState}, channel ${channel.readyState}`);
  const timeout = new Promise((_, reject) => setTimeout(() => reject(late()), 10000));
  const echoed = await Promise.race([echo, timeout]);
  pc.close();
  const bad = await fetch('/offer', { method: 'POST', body: '{' });
  if (bad.ok) throw new Error('half a JSON was accepted');
  return `${echoed}; half a JSON: ${(await bad.text()).trim()}`;
})()";

/// Wrong options end the program with a sentence.
async fn mistakes(program: &PathBuf, address: &str) -> Result<(), String> {
    let port = address
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .unwrap_or_default();
    for (arguments, word) in [
        (["--port", port], "in use"),
        (["--bind", "203.0.113.7"], "203.0.113.7"),
    ] {
        let run = Command::new(program).arg("serve").args(arguments).output();
        let output = tokio::time::timeout(Duration::from_secs(5), run)
            .await
            .map_err(|_| format!("dunlin serve {} goes on", arguments.join(" ")))?
            .map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() || !said.contains(word) {
            return Err(format!("dunlin serve {} says {said:?}", arguments.join(" ")));
        }
        step(&arguments.join(" "), &said);
    }
    Ok(())
}

/// Starts the program and reads its address from what it prints.
async fn serve(program: &PathBuf) -> Result<(Child, String), String> {
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(["serve", "--port", "0"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{} could not be started: {error}", program.display()))?;
    let output = child.stdout.take().ok_or("the program has no output")?;
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(at) = line.find("http://") {
            let address = line
                .get(at..)
                .unwrap_or_default()
                .trim_end_matches(['.', ' '])
                .to_owned();
            step(
                "program",
                &format!("at {address} after {:.1} s", start.elapsed().as_secs_f64()),
            );
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((child, address));
        }
    }
    Err("the program printed no address".to_owned())
}

/// The program beside this one.
fn program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name("dunlin");
    if program.is_file() {
        return Ok(program);
    }
    Err(format!(
        "{} is not there: `cargo build --release --package dunlin-cli` makes it",
        program.display()
    ))
}

fn screenshot_path() -> PathBuf {
    let target = std::env::current_exe().ok();
    let target = target.as_deref().and_then(|own| own.parent()?.parent());
    target
        .map_or_else(|| folder("..").join("target"), std::path::Path::to_path_buf)
        .join("interop")
        .join("page.png")
}
