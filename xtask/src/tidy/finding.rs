//! What a check reads and what it reports.

use std::fmt;

/// One file, by its path in the repository.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// A finding in this file.
    pub(super) fn finding(&self, line: usize, sentence: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            sentence: sentence.into(),
        }
    }
}

/// A place and what is wrong there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) sentence: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.sentence)
    }
}

#[cfg(test)]
pub(super) fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}
