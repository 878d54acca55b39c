//! Rust source, line by line, with comments and strings told apart from code. No parser: rustfmt has been
//! over the files, so a line is simple.

/// One line of code with its comments and the contents of its strings removed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    /// The line as it stands.
    pub(super) raw: &'a str,
    /// What the compiler sees, strings emptied.
    pub(super) code: String,
}

/// Where the scanner is between two characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    BlockComment(u32),
    Text,
    RawText(usize),
}

/// Splits a file.
pub(super) fn lines(text: &str) -> Vec<Line<'_>> {
    let mut inside = Inside::Code;
    let mut result = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let mut code = String::new();
        let mut rest = raw;
        while !rest.is_empty() {
            let (used, next) = step(inside, rest, &mut code);
            inside = next;
            rest = rest.get(used..).unwrap_or_default();
        }
        result.push(Line {
            number: index + 1,
            raw,
            code,
        });
    }
    result
}

/// Takes one token off `rest`: how many bytes, and what comes after. A line comment takes the rest.
fn step(inside: Inside, rest: &str, code: &mut String) -> (usize, Inside) {
    let first = rest.chars().next().map_or(1, char::len_utf8);
    match inside {
        Inside::BlockComment(depth) if rest.starts_with("*/") => (
            2,
            if depth == 1 {
                Inside::Code
            } else {
                Inside::BlockComment(depth - 1)
            },
        ),
        Inside::BlockComment(depth) if rest.starts_with("/*") => (2, Inside::BlockComment(depth + 1)),
        Inside::Text if rest.starts_with('\\') => {
            let escaped = rest.chars().nth(1).map_or(0, char::len_utf8);
            (1 + escaped, Inside::Text)
        }
        Inside::Text if rest.starts_with('"') => close(code, 1),
        Inside::RawText(hashes) if rest.starts_with(&format!("\"{}", "#".repeat(hashes))) => {
            close(code, 1 + hashes)
        }
        Inside::BlockComment(_) | Inside::Text | Inside::RawText(_) => (first, inside),
        Inside::Code => in_code(rest, first, code),
    }
}

fn close(code: &mut String, used: usize) -> (usize, Inside) {
    code.push('"');
    (used, Inside::Code)
}

fn in_code(rest: &str, first: usize, code: &mut String) -> (usize, Inside) {
    if rest.starts_with("//") {
        return (rest.len(), Inside::Code);
    }
    if rest.starts_with("/*") {
        return (2, Inside::BlockComment(1));
    }
    if rest.starts_with('"') {
        code.push('"');
        return (1, Inside::Text);
    }
    let in_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if !in_word && let Some(hashes) = raw_text(rest) {
        code.push('"');
        let prefix = rest.find('"').map_or(1, |at| at + 1);
        return (prefix, Inside::RawText(hashes));
    }
    // The quote and the backslash as characters would otherwise open a string.
    for literal in ["'\"'", "'\\''", "'\\\\'"] {
        if rest.starts_with(literal) {
            code.push_str("' '");
            return (literal.len(), Inside::Code);
        }
    }
    code.push_str(rest.get(..first).unwrap_or_default());
    (first, Inside::Code)
}

/// The number of `#` of a raw string that starts here, if one does.
fn raw_text(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
    after
        .as_bytes()
        .get(hashes)
        .filter(|byte| **byte == b'"')
        .map(|_| hashes)
}

/// True if `code` holds `word` with no letter, digit or underscore beside it.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default();
        let after = code.get(at + word.len()..).unwrap_or_default();
        !before.ends_with(part) && !after.starts_with(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn comments_and_the_contents_of_strings_are_not_code() {
        assert_eq!(code("let a = \"x // y\"; // z"), ["let a = \"\"; "]);
        assert_eq!(code("a /* b\nc */ d"), ["a ", " d"]);
        assert_eq!(code("let r = r#\"a\"b\"#; e"), ["let r = \"\"; e"]);
        assert_eq!(code("'\"' x \"y\\\"z\" w"), ["' ' x \"\" w"]);
        assert_eq!(code("for r in x { \"é\" }"), ["for r in x { \"\" }"]);
    }

    #[test]
    fn words_have_edges() {
        assert!(has_word("unsafe { x }", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
    }
}
