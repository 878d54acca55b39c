//! An error names the line and the attribute, and says what was expected there.

use dunlin_sdp::{Attribute, Formats, MediaDescription, MediaKind, Origin, Reason, SessionDescription};

const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";

fn refused(text: &str) -> (usize, String, Reason) {
    let error = SessionDescription::parse(text).unwrap_err();
    (error.line, error.attribute, error.reason)
}

fn refused_in_media(line: &str) -> Reason {
    let (number, _, reason) = refused(&format!("{HEAD}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n{line}\r\n"));
    assert_eq!(number, 6, "{line}");
    reason
}

#[test]
fn a_payload_type_has_seven_bits_wherever_it_stands() {
    let reason = Reason::PayloadType("128".to_owned());
    for line in [
        "a=rtpmap:128 VP8/90000",
        "a=fmtp:128 apt=96",
        "a=rtcp-fb:128 nack",
        "a=rid:a send pt=128",
    ] {
        assert_eq!(refused_in_media(line), reason, "{line}");
    }
    let (line, attribute, found) = refused(&format!("{HEAD}m=audio 9 UDP/TLS/RTP/SAVPF 111 128\r\n"));
    assert_eq!((line, attribute.as_str(), found), (5, "m=", reason));
    assert!(matches!(
        refused_in_media("a=rtpmap:+9 X/8000"),
        Reason::PayloadType(_)
    ));
    assert!(matches!(
        refused_in_media("a=rtpmap:-1 X/8000"),
        Reason::PayloadType(_)
    ));
    assert!(matches!(
        refused_in_media("a=rtpmap:4294967392 X/8000"),
        Reason::PayloadType(_)
    ));
}

#[test]
fn a_malformed_value_names_its_grammar() {
    for line in [
        "a=rtpmap:96",
        "a=rtpmap:96 VP8",
        "a=rtpmap:96 VP8/abc",
        "a=rtpmap:96 opus/48000/2/2",
        "a=extmap:0 urn:x",
        "a=extmap:1/both urn:x",
        "a=extmap:x",
        "a=ssrc:1",
        "a=ssrc:x cname:y",
        "a=ssrc:4294967296 cname:y",
        "a=ssrc-group:FID",
        "a=ssrc-group:FID x",
        "a=fingerprint:sha-256",
        "a=fingerprint:sha-256 GG:00",
        "a=setup:both",
        "a=ice-ufrag:abc",
        "a=ice-pwd:short",
        "a=tls-id:short",
        "a=mid:",
        "a=mid:a b",
        "a=mid",
        "a=simulcast:send",
        "a=simulcast:send 1 send 2",
        "a=simulcast:send 1;;2",
        "a=rid:1",
        "a=rid:1 both",
        "a=sctp-port:65536",
        "a=max-message-size:lots",
        "a=rtcp:9 IN",
        "a=",
        "a=:x",
        "c=IN IP4",
        "b=AS",
        "a=rtcp-fb:96",
    ] {
        assert!(matches!(refused_in_media(line), Reason::Expected(_)), "{line}");
    }
    let text = SessionDescription::parse(&format!("{HEAD}a=setup:x\r\n"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        "SDP line 5: setup: expected active, passive, actpass or holdconn"
    );
}

#[test]
fn lines_stand_in_the_order_of_the_rfc() {
    assert_eq!(refused(""), (0, "v=".to_owned(), Reason::Missing));
    assert_eq!(refused("v=0\r\n"), (0, "o=".to_owned(), Reason::Missing));
    assert_eq!(
        refused("v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\n"),
        (0, "t=".to_owned(), Reason::Missing)
    );
    assert_eq!(
        refused("o=- 1 2 IN IP4 127.0.0.1\r\n"),
        (1, "o=".to_owned(), Reason::Order)
    );
    assert_eq!(refused("v=1\r\n").2, Reason::Expected("v=0"));
    assert_eq!(
        refused(&format!("{HEAD}s=-\r\n")),
        (5, "s=".to_owned(), Reason::Order)
    );
    assert_eq!(
        refused(&format!("{HEAD}a=x\r\nc=IN IP4 0.0.0.0\r\n")).2,
        Reason::Order
    );
    assert_eq!(
        refused("v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nm=audio 9 RTP/AVP 0\n").2,
        Reason::Order
    );
    assert_eq!(refused_in_media("t=0 0"), Reason::Order);
    assert_eq!(refused_in_media("hello"), Reason::NotALine);
    assert_eq!(refused_in_media("é=0"), Reason::NotALine);
    assert_eq!(refused_in_media("a=x:\0"), Reason::ControlCharacter);
    assert_eq!(refused_in_media("a=x:a\rb"), Reason::ControlCharacter);
}

#[test]
fn rare_lines_keep_their_place() {
    let text = "v=0\r\no=jdoe 1 2 IN IP6 2001:db8::1\r\ns=a b\r\ni=i\r\nu=u\r\ne=e\r\ne=f\r\np=p\r\n\
        c=IN IP4 224.2.1.1/127\r\nb=AS:128\r\nb=X-YZ:1\r\nt=1 2\r\nr=7d 1h 0 25h\r\nt=3 4\r\nz=0 0\r\nk=clear:x\r\n\
        a=ptime:20\r\na=maxptime:2.5\r\na=x-flag\r\na=x-empty:\r\nm=audio 49170/2 RTP/AVP 0 8\r\ni=title\r\n\
        c=IN IP4 1.2.3.4\r\nc=IN IP4 1.2.3.5\r\nb=TIAS:1\r\nk=prompt\r\na=rtcp:53020 IN IP6 2001:db8::2\r\n\
        a=simulcast:recv ~1,2;3 send 4\r\na=rid:1 recv pt=8;max-width=10\r\na=extmap:2/inactive urn:x vad=on\r\n\
        m=message 5 TCP/MSRP *\r\n";
    assert_eq!(SessionDescription::parse(text).unwrap().to_string(), text);
}

#[test]
fn text_of_the_application_cannot_start_a_line() {
    let mut session = SessionDescription::new(Origin::new(1, 2));
    let formats = Formats::Other(vec!["webrtc-datachannel".to_owned()]);
    let mut media = MediaDescription::new(MediaKind::Application, "UDP/DTLS/SCTP", formats);
    media
        .attributes
        .push(Attribute::Mid("0\r\na=ice-lite".to_owned()));
    session.media.push(media);
    let text = session.to_string();
    assert!(text.ends_with("a=mid:0a=ice-lite\r\n"), "{text}");
    assert!(!SessionDescription::parse(&text).unwrap().ice_lite());
}
