//! Whose datagram is this: many connections on one port.
//!
//! A STUN request names the connection in its USERNAME, which begins with the username fragment that its recipient has
//! provided and a colon (RFC 8445, section 7.2.2). Everything else belongs to the connection that talks with its sender.

use std::collections::HashMap;

use dunlin_net::Path;

/// One connection of an endpoint. Keys are not used twice.
pub(crate) type Key = u64;

/// The two tables: username fragments that connections announced, and paths that connections use.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_ufrag: HashMap<String, Key>,
    /// Whose path it is comes first. Others only asked something there, such as a STUN server that all of an
    /// endpoint's connections ask: answers carry a transaction that just one of them knows.
    by_path: HashMap<Path, Vec<Key>>,
}

impl Routes {
    /// The connection that a check is for.
    pub(crate) fn find_requested(&self, data: &[u8]) -> Option<Key> {
        self.by_ufrag.get(requested_ufrag(data)?).copied()
    }

    /// The connections that `data` is for: mostly one.
    pub(crate) fn find(&self, path: Path, data: &[u8]) -> &[Key] {
        if let Some(ufrag) = requested_ufrag(data) {
            return self
                .by_ufrag
                .get(ufrag)
                .map(std::slice::from_ref)
                .unwrap_or_default();
        }
        let keys = self.by_path.get(&path).map(Vec::as_slice).unwrap_or_default();
        if may_be_stun(data) {
            keys
        } else {
            keys.get(..1).unwrap_or_default()
        }
    }

    /// `key` announces this username fragment.
    pub(crate) fn add_ufrag(&mut self, key: Key, ufrag: &str) {
        self.by_ufrag.entry(ufrag.to_owned()).or_insert(key);
    }

    /// `key` has sent something on `path`. The first to do so gets what comes back: an answer to a request
    /// that nobody authenticated takes no path away from a connection that has it.
    pub(crate) fn add_path(&mut self, key: Key, path: Path) {
        let keys = self.by_path.entry(path).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }

    /// `key` selected `path`, which takes the peer's consent: it is the connection's now, whoever had it.
    pub(crate) fn select_path(&mut self, key: Key, path: Path) {
        let keys = self.by_path.entry(path).or_default();
        keys.retain(|other| *other != key);
        keys.insert(0, key);
    }

    /// `key` does not use `path` any more.
    pub(crate) fn remove_path(&mut self, key: Key, path: Path) {
        if let Some(keys) = self.by_path.get_mut(&path) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_path.remove(&path);
            }
        }
    }

    /// The connection is gone.
    pub(crate) fn remove(&mut self, key: Key) {
        self.by_ufrag.retain(|_, owner| *owner != key);
        self.by_path.retain(|_, keys| {
            keys.retain(|other| *other != key);
            !keys.is_empty()
        });
    }
}

/// RFC 7983, section 7: STUN begins with a byte of 0 to 3. Everything else on a path is for whoever has the path.
pub(crate) fn may_be_stun(data: &[u8]) -> bool {
    data.first().is_none_or(|first| *first < 4)
}

/// The recipient's username fragment in a STUN Binding request; `None` when the datagram is something else.
fn requested_ufrag(data: &[u8]) -> Option<&str> {
    const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
    const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    const USERNAME: u16 = 0x0006;
    let (header, mut rest) = data.split_at_checked(20)?;
    if header[..2] != BINDING_REQUEST || header[4..8] != MAGIC_COOKIE {
        return None;
    }
    loop {
        let (head, tail) = rest.split_at_checked(4)?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = tail.get(..len)?;
        if kind == USERNAME {
            return std::str::from_utf8(value)
                .ok()?
                .split_once(':')
                .map(|(ours, _)| ours);
        }
        rest = tail.get(len.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path::udp(
            "10.0.0.1:1".parse().unwrap(),
            format!("10.0.0.2:{port}").parse().unwrap(),
        )
    }

    fn request(username: &str) -> Vec<u8> {
        let mut data = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        data.extend([7; 12]);
        data.extend([0x00, 0x24, 0, 4, 1, 2, 3, 4]);
        data.extend([0x00, 0x06, 0, u8::try_from(username.len()).unwrap()]);
        data.extend(username.as_bytes());
        data.resize(data.len().next_multiple_of(4), 0);
        data
    }

    #[test]
    fn a_request_goes_by_its_username_and_the_rest_by_its_path() {
        let mut routes = Routes::default();
        routes.add_ufrag(1, "abcd");
        routes.add_ufrag(2, "efghi");
        assert_eq!(routes.find(path(9), &request("abcd:peer")), [1]);
        assert_eq!(routes.find(path(9), &request("efghi:peer")), [2]);
        assert!(routes.find(path(9), &request("xxxx:peer")).is_empty());
        assert!(routes.find(path(9), &[22, 254, 253]).is_empty());
        routes.add_path(1, path(9));
        assert_eq!(routes.find(path(9), &[22, 254, 253]), [1]);
        routes.remove(1);
        assert!(routes.find(path(9), &[22, 254, 253]).is_empty());
        assert!(routes.find(path(9), &request("abcd:peer")).is_empty());
    }

    #[test]
    fn a_path_in_use_moves_only_to_a_connection_that_selected_it() {
        let mut routes = Routes::default();
        routes.add_path(1, path(9));
        routes.add_path(2, path(9));
        assert_eq!(routes.find(path(9), &[0x80]), [1]);
        routes.select_path(2, path(9));
        assert_eq!(routes.find(path(9), &[0x80]), [2]);
        routes.remove_path(1, path(9));
        assert_eq!(routes.find(path(9), &[0x80]), [2]);
    }

    #[test]
    fn the_answer_of_a_stun_server_goes_to_all_who_asked_it() {
        let mut routes = Routes::default();
        routes.add_path(1, path(3478));
        routes.add_path(2, path(3478));
        routes.add_path(2, path(3478));
        let mut answer = request("");
        answer[0] = 1;
        assert_eq!(routes.find(path(3478), &answer), [1, 2]);
    }

    #[test]
    fn truncated_requests_have_no_username() {
        let whole = request("abcd:peer");
        assert_eq!(requested_ufrag(&whole), Some("abcd"));
        for len in 0..whole.len() - 3 {
            assert_eq!(requested_ufrag(&whole[..len]), None, "{len}");
        }
    }
}
