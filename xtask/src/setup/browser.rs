//! The browsers, as the distribution packages them.

use crate::run::exists;

/// `DUNLIN_CHROMIUM` names the program, or one of the usual names is on the PATH.
pub(crate) fn chromium() -> bool {
    std::env::var_os("DUNLIN_CHROMIUM").is_some() || exists("chromium") || exists("chromium-browser")
}

/// The same with `DUNLIN_FIREFOX`.
pub(crate) fn firefox() -> bool {
    std::env::var_os("DUNLIN_FIREFOX").is_some() || exists("firefox-esr") || exists("firefox")
}
