//! The media session, made when media is first negotiated: connections that only carry data keep none.

use std::time::{Duration, Instant};

use dunlin_media::{Config, Session};

/// The session, or what it will be made of.
pub(crate) struct MediaSession {
    cname: String,
    wall_clock: Option<Duration>,
    seed: [u8; 32],
    /// The connection's first moment, to which `wall_clock` belongs.
    begun: Instant,
    session: Option<Box<Session>>,
}

impl MediaSession {
    pub(crate) fn new(cname: String, wall_clock: Option<Duration>, seed: [u8; 32], begun: Instant) -> Self {
        Self {
            cname,
            wall_clock,
            seed,
            begun,
            session: None,
        }
    }

    pub(crate) fn get(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut Session> {
        self.session.as_deref_mut()
    }

    /// Media is negotiated: the session is there from now on.
    pub(crate) fn want(&mut self) -> &mut Session {
        self.session.get_or_insert_with(|| {
            let mut config = Config::default();
            config.cname = std::mem::take(&mut self.cname);
            if let Some(since_1970) = self.wall_clock {
                config.ntp_start = dunlin_rtp::NtpTime::UNIX_EPOCH.wrapping_add(since_1970);
            }
            Box::new(Session::new(config, self.seed, self.begun))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_session_is_made_once_and_with_the_name_in_the_descriptions() {
        let mut media = MediaSession::new("name".to_owned(), None, [7; 32], Instant::now());
        assert!(media.get().is_none());
        assert_eq!(media.want().cname(), "name");
        assert_eq!(media.want().cname(), "name");
        assert!(media.get_mut().is_some());
    }
}
