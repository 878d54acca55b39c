//! What is printed for who started the program, on standard output.

use std::fmt::Display;
use std::io::Write;

/// Prints a line. Who reads the first one only, as `head` does, has what it wants: a closed pipe is no reason to end.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
