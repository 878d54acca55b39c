//! Tells endpoints that the interfaces of this host may be different now. One thread does so for the whole process,
//! however many endpoints there are, and none of them wakes up for it while nothing changes.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::mailbox::Mailbox;

/// A change is seldom one message: what follows within this time is told together.
const SETTLE: Duration = Duration::from_millis(100);
/// How often the thread looks whether anybody wants to know.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the interfaces are looked at where the system does not tell: with the time for a new path, a connection has
/// moved within two seconds.
const POLL: Duration = Duration::from_millis(500);
/// Messages that are taken together at most; a router's tables may change all the time.
#[cfg(target_os = "linux")]
const AT_ONCE: usize = 1000;
/// Fewer endpoints than this are not worth looking for those that are gone.
const FEW: usize = 64;

/// Who is told.
static WATCHERS: Mutex<Watchers> = Mutex::new(Watchers {
    endpoints: Vec::new(),
    clean_at: FEW,
    running: false,
});

struct Watchers {
    endpoints: Vec<Weak<Mailbox>>,
    /// At this many, those that are gone are taken out.
    clean_at: usize,
    running: bool,
}

impl Watchers {
    fn clean(&mut self) {
        self.endpoints.retain(|endpoint| endpoint.strong_count() > 0);
        self.clean_at = FEW.max(self.endpoints.len() * 2);
    }
}

fn with<T>(act: impl FnOnce(&mut Watchers) -> T) -> T {
    act(&mut WATCHERS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// From now on, and until it is dropped, this endpoint is told of changes.
pub(crate) fn tell(endpoint: &Arc<Mailbox>) {
    with(|watchers| {
        if watchers.endpoints.len() >= watchers.clean_at {
            watchers.clean();
        }
        watchers.endpoints.push(Arc::downgrade(endpoint));
        if watchers.running {
            return;
        }
        // Opened before the caller lists the addresses: no change can fall between.
        let changes = Changes::open();
        let name = "dunlin-interfaces".to_owned();
        match std::thread::Builder::new().name(name).spawn(move || run(changes)) {
            Ok(_) => watchers.running = true,
            Err(error) => log::warn!("changes of interfaces will not be noticed: no thread: {error}"),
        }
    });
}

/// The thread: it ends when no endpoint is left.
fn run(mut changes: Changes) {
    loop {
        let changed = changes.wait();
        let wanted = with(|watchers| {
            watchers.clean();
            watchers.running = !watchers.endpoints.is_empty();
            for endpoint in watchers.endpoints.iter().filter(|_| changed) {
                if let Some(endpoint) = endpoint.upgrade() {
                    endpoint.interfaces_changed();
                }
            }
            watchers.running
        });
        if !wanted {
            return;
        }
    }
}

/// Where changes are learnt from.
#[derive(Debug)]
enum Changes {
    /// The system says so.
    #[cfg(target_os = "linux")]
    Told(std::os::fd::OwnedFd),
    /// The interfaces are looked at again and again.
    Seen(Vec<if_addrs::Interface>),
}

impl Changes {
    fn open() -> Self {
        #[cfg(target_os = "linux")]
        match netlink() {
            Ok(socket) => return Self::Told(socket),
            Err(error) => log::debug!("interfaces are polled: no netlink: {error}"),
        }
        Self::Seen(if_addrs::get_if_addrs().unwrap_or_default())
    }

    /// Waits until there may have been a change, and answers true; or for [`PATIENCE`] at most.
    fn wait(&mut self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Told(socket) => match await_message(socket) {
                Ok(message) => message,
                Err(error) => {
                    log::debug!("interfaces are polled: netlink: {error}");
                    *self = Self::Seen(Vec::new());
                    false
                }
            },
            Self::Seen(known) => {
                std::thread::sleep(POLL);
                if_addrs::get_if_addrs().is_ok_and(|now| differ(known, now))
            }
        }
    }
}

/// Whether the interfaces are others now than those that were known; from now on these are.
fn differ(known: &mut Vec<if_addrs::Interface>, now: Vec<if_addrs::Interface>) -> bool {
    let changed = *known != now;
    *known = now;
    changed
}

/// A socket that brings a message when an interface, an address or a route changes (rtnetlink(7)).
#[cfg(target_os = "linux")]
fn netlink() -> nix::Result<std::os::fd::OwnedFd> {
    use nix::libc;
    use nix::sys::socket::sockopt::ReceiveTimeout;
    use nix::sys::socket::{
        AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, setsockopt, socket,
    };
    use std::os::fd::AsRawFd;

    let groups = libc::RTMGRP_LINK
        | libc::RTMGRP_IPV4_IFADDR
        | libc::RTMGRP_IPV6_IFADDR
        | libc::RTMGRP_IPV4_ROUTE
        | libc::RTMGRP_IPV6_ROUTE;
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups.cast_unsigned()))?;
    let patience = nix::sys::time::TimeVal::new(PATIENCE.as_secs().cast_signed(), 0);
    setsockopt(&socket, ReceiveTimeout, &patience)?;
    Ok(socket)
}

/// Whether there was a message within [`PATIENCE`]; those that come with it are taken as well. What they say does not
/// matter: each endpoint looks at the interfaces that it uses.
#[cfg(target_os = "linux")]
fn await_message(socket: &std::os::fd::OwnedFd) -> nix::Result<bool> {
    use nix::errno::Errno;
    use nix::sys::socket::{MsgFlags, recv};
    use std::os::fd::AsRawFd;

    let mut buffer = [0; 4096];
    let mut take = |flags| match recv(socket.as_raw_fd(), &mut buffer, flags) {
        // More came than the socket had room for.
        Ok(_) | Err(Errno::ENOBUFS) => Ok(true),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
        Err(error) => Err(error),
    };
    if !take(MsgFlags::empty())? {
        return Ok(false);
    }
    std::thread::sleep(SETTLE);
    for _ in 0..AT_ONCE {
        if !take(MsgFlags::MSG_DONTWAIT)? {
            break;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_that_are_gone_are_forgotten() {
        let mut watchers = Watchers {
            endpoints: Vec::new(),
            clean_at: FEW,
            running: true,
        };
        let kept = Arc::new(Mailbox::default());
        for _ in 0..200 {
            watchers
                .endpoints
                .push(Arc::downgrade(&Arc::new(Mailbox::default())));
        }
        watchers.endpoints.push(Arc::downgrade(&kept));
        watchers.clean();
        assert_eq!(watchers.endpoints.len(), 1);
        assert_eq!(watchers.clean_at, FEW);
    }

    #[test]
    fn an_endpoint_is_told_once_for_each_change() {
        let endpoint = Mailbox::default();
        assert!(!endpoint.take_interfaces_changed());
        endpoint.interfaces_changed();
        endpoint.interfaces_changed();
        assert!(endpoint.take_interfaces_changed());
        assert!(!endpoint.take_interfaces_changed());
    }

    #[test]
    fn interfaces_that_stay_as_they_are_are_no_change() {
        let now = if_addrs::get_if_addrs().unwrap();
        let mut known = Vec::new();
        assert!(differ(&mut known, now.clone()), "this host has an interface");
        assert!(!differ(&mut known, now));
        assert!(differ(&mut known, Vec::new()));
    }
}
