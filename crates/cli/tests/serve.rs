//! The program as its users meet it: `POST /offer`, the page, and mistakes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use dunlin::{Config, DataChannelInit, IceServer, IceTransportPolicy, Message, PeerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The running program; it ends with the test.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dunlin"))
            .args(["serve", "--port", "0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .split_once("http://")
            .expect("the address is printed")
            .1
            .to_owned();
        Self { child, address }
    }

    /// One HTTP request: the status line and the body.
    async fn request(&self, head: &str, body: &str) -> (String, String) {
        let mut stream = tokio::net::TcpStream::connect(&self.address).await.unwrap();
        let (host, length) = (&self.address, body.len());
        let request = format!(
            "{head} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// A connection to the program with one channel of this label.
async fn call(program: &Program, label: &str) -> (PeerConnection, dunlin::Events, dunlin::DataChannel) {
    call_with(program, label, Config::default()).await
}

async fn call_with(
    program: &Program,
    label: &str,
    mut config: Config,
) -> (PeerConnection, dunlin::Events, dunlin::DataChannel) {
    config.sockets.include_loopback = true;
    let (pc, events) = PeerConnection::bind(config).await.unwrap();
    let channel = pc.create_data_channel(label, DataChannelInit::default()).unwrap();
    pc.set_local_description().unwrap();
    soon("gathering", pc.gathered()).await.unwrap();
    let offer = pc.local_description().unwrap().to_string();
    let (status, answer) = soon("the answer", program.request("POST /offer", &offer)).await;
    assert!(status.contains("200"), "{status}: {answer}");
    pc.set_remote_description(answer.parse().unwrap()).unwrap();
    (pc, events, channel)
}

#[tokio::test]
async fn any_client_posts_an_offer_and_gets_its_messages_back() {
    let program = Program::start();
    let (_pc, _events, mut channel) = call(&program, "anything").await;
    for text in ["one", "two"] {
        soon("sending", channel.send(text)).await.unwrap();
        assert_eq!(
            soon("the echo", channel.recv()).await.unwrap(),
            Some(Message::from(text))
        );
    }
}

#[tokio::test]
async fn a_client_that_may_use_relays_only_gets_through_by_the_programs_own() {
    let program = Program::start_with(&["--turn", "--turn-port", "0"]);
    let (status, body) = program.request("GET /ice", "").await;
    assert!(status.contains("200"), "{status}: {body}");
    let servers: Vec<IceServer> = serde_json::from_str(&body).unwrap();
    let (_, again) = program.request("GET /ice", "").await;
    let again: Vec<IceServer> = serde_json::from_str(&again).unwrap();
    assert_ne!(
        servers[0].username, again[0].username,
        "each call has its own credentials"
    );
    assert_ne!(servers[0].credential, again[0].credential);
    for transport in ["udp", "tcp"] {
        let url = servers[0]
            .urls
            .iter()
            .find(|url| url.ends_with(transport))
            .unwrap();
        let mut config = Config::default();
        config.ice_transport_policy = IceTransportPolicy::Relay;
        let (user, password) = (&servers[0].username, &servers[0].credential);
        config.ice_servers = vec![IceServer::turn(url, user, password)];
        let (pc, _events, mut channel) = call_with(&program, "relayed", config).await;
        soon("the connection", pc.connected()).await.unwrap();
        channel.send("through the relay").await.unwrap();
        let echo = soon("the echo", channel.recv()).await.unwrap();
        assert_eq!(echo, Some(Message::from("through the relay")));
        let path = pc.selected_path().unwrap();
        assert_eq!(path.transport.to_string(), transport);
        pc.close();
    }
}

#[tokio::test]
async fn without_a_relay_the_page_is_told_of_none() {
    let program = Program::start();
    let (status, body) = program.request("GET /ice", "").await;
    assert!(status.contains("200") && body == "[]", "{status}: {body}");
}

#[tokio::test]
async fn the_throughput_channel_counts_what_it_gets_and_sends_what_is_asked_for() {
    let program = Program::start();
    let (_pc, _events, mut channel) = call(&program, "throughput").await;
    channel.send(r#"{"command": "upload"}"#).await.unwrap();
    for _ in 0..10 {
        channel.send(vec![0; 1000]).await.unwrap();
    }
    channel.send(r#"{"command": "end"}"#).await.unwrap();
    let Some(Message::Text(counted)) = soon("the count", channel.recv()).await.unwrap() else {
        panic!("no count")
    };
    assert!(counted.contains(r#""bytes":10000,"messages":10,"#), "{counted}");
    channel
        .send(r#"{"command": "download", "seconds": 0.05, "size": 5000}"#)
        .await
        .unwrap();
    let mut received = 0;
    let report = loop {
        match soon("load", channel.recv()).await.unwrap().unwrap() {
            Message::Binary(load) => received += load.len(),
            Message::Text(report) => break report,
        }
    };
    assert!(
        received > 0 && report.contains(&format!(r#""bytes":{received},"#)),
        "{received}: {report}"
    );
    channel.send("gibberish").await.unwrap();
    let reply = soon("the complaint", channel.recv()).await.unwrap();
    assert!(matches!(reply, Some(Message::Text(text)) if text.contains("error")));
}

#[tokio::test]
async fn the_page_is_there_and_bad_offers_are_refused_with_a_sentence() {
    let program = Program::start();
    let (status, page) = program.request("GET /", "").await;
    assert!(status.contains("200") && page.contains("<title>dunlin</title>"));
    for file in ["/app.js", "/style.css"] {
        assert!(
            program
                .request(&format!("GET {file}"), "")
                .await
                .0
                .contains("200")
        );
    }
    let (status, sentence) = program.request("POST /offer", "{").await;
    assert!(
        status.contains("400") && sentence.contains("session description"),
        "{status}: {sentence}"
    );
    let bad = r#"{"type": "offer", "sdp": "v=0\r\nnonsense\r\n"}"#;
    let (status, sentence) = program.request("POST /offer", bad).await;
    assert!(
        status.contains("422") && sentence.contains("line 2"),
        "{status}: {sentence}"
    );
}

fn fails(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
}

#[test]
fn a_mistake_in_the_arguments_ends_with_a_sentence() {
    let program = Program::start();
    let port = program.address.rsplit(':').next().unwrap();
    let sentence = fails(&["--port", port]);
    assert!(
        sentence.contains("in use") && sentence.contains("--port"),
        "{sentence}"
    );
    let sentence = fails(&["serve", "--bind", "203.0.113.7"]);
    assert!(
        sentence.contains("no address 203.0.113.7") && sentence.contains("--bind"),
        "{sentence}"
    );
    assert!(fails(&["--bind", "localhost:80"]).contains("--bind"));
}
