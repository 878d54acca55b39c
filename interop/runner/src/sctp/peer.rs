//! The process with usrsctp: requests go in, frames come back until it is done.

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bytes::Bytes;

/// What usrsctp does.
#[derive(Debug)]
pub enum Frame {
    /// With its ECN field.
    Packet(u8, Bytes),
    /// A piece of a message.
    Piece {
        end: bool,
        stream: u16,
        /// Of the first piece.
        tsn: u32,
        data: Bytes,
    },
    Word(String),
    /// Times that a mark has reduced its congestion window.
    Reductions(u32),
    /// It would not take a message or a reset.
    Refused,
}

/// One end of an association, on usrsctp.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Peer {
    pub fn start(program: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", program.display());
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self {
                child,
                input: BufWriter::new(input),
                output: BufReader::new(output),
            }),
            _ => Err("its standard input and output are missing".to_owned()),
        }
    }

    /// One request, and all that comes of it.
    pub fn ask(&mut self, kind: u8, parts: &[&[u8]]) -> Result<Vec<Frame>, String> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let len = u32::try_from(len).map_err(|error| error.to_string())?;
        let input = &mut self.input;
        let mut written = input
            .write_all(&[kind])
            .and_then(|()| input.write_all(&len.to_be_bytes()));
        for part in parts {
            written = written.and_then(|()| input.write_all(part));
        }
        written
            .and_then(|()| input.flush())
            .map_err(|error| format!("usrsctp has ended: {error}"))?;
        let mut frames = Vec::new();
        while let Some(frame) = self.read()? {
            frames.push(frame);
        }
        Ok(frames)
    }

    /// The next frame; `None` when it is done.
    fn read(&mut self) -> Result<Option<Frame>, String> {
        let ended = |error: std::io::Error| format!("usrsctp has ended: {error}");
        let mut head = [0; 5];
        self.output.read_exact(&mut head).map_err(ended)?;
        let [kind, a, b, c, d] = head;
        let mut body = vec![0; u32::from_be_bytes([a, b, c, d]) as usize];
        self.output.read_exact(&mut body).map_err(ended)?;
        let body = Bytes::from(body);
        match (kind, &body[..]) {
            (b'd', _) => Ok(None),
            (b'p', &[ecn, ..]) => Ok(Some(Frame::Packet(ecn, body.slice(1..)))),
            (b'w', &[a, b, c, d]) => Ok(Some(Frame::Reductions(u32::from_be_bytes([a, b, c, d])))),
            (b'f', _) => Ok(Some(Frame::Refused)),
            (b'e', word) => Ok(Some(Frame::Word(String::from_utf8_lossy(word).into_owned()))),
            (b'm', &[flags, s0, s1, a, b, c, d, ..]) => Ok(Some(Frame::Piece {
                end: flags & 2 != 0,
                stream: u16::from_be_bytes([s0, s1]),
                tsn: u32::from_be_bytes([a, b, c, d]),
                data: body.slice(7..),
            })),
            _ => Err(format!("usrsctp sent a frame that nobody knows: {kind}")),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
