//! What a server has written, made harmless: on a terminal a control character may move the
//! cursor, set the title or fill the clipboard.

use std::io::{self, Write};

/// What stays as it is of what a terminal acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Tabs: for a text that is to stay one line.
    Line,
    /// Tabs and line ends.
    Lines,
}

/// Writes bytes; control characters (C0, DEL and C1 in Unicode) and bytes that are no UTF-8 are
/// shown as `\x1b`, `\r` and their like.
pub(crate) fn write(out: &mut impl Write, bytes: &[u8], keep: Keep) -> io::Result<()> {
    for chunk in bytes.utf8_chunks() {
        write_text(out, chunk.valid(), keep)?;
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

fn write_text(out: &mut impl Write, text: &str, keep: Keep) -> io::Result<()> {
    let harmful = |c: char| c.is_control() && c != '\t' && !(c == '\n' && keep == Keep::Lines);
    let mut rest = text;
    while let Some(at) = rest.find(harmful) {
        let (harmless, behind) = rest.split_at(at);
        out.write_all(harmless.as_bytes())?;
        let mut chars = behind.chars();
        match chars.next() {
            Some('\r') => out.write_all(b"\\r")?,
            Some('\n') => out.write_all(b"\\n")?,
            // A C1 character is one byte in the eyes of a terminal, and two in UTF-8.
            Some(control) => write!(out, "\\x{:02x}", u32::from(control))?,
            None => {}
        }
        rest = chars.as_str();
    }
    out.write_all(rest.as_bytes())
}

/// The same as a text of one line.
pub(crate) fn line(bytes: impl AsRef<[u8]>) -> String {
    let mut out = Vec::new();
    // Memory takes all that is written to it, and what is written is UTF-8.
    let _ = write(&mut out, bytes.as_ref(), Keep::Line);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_is_left_but_tabs_and_wanted_line_ends() {
        let all: String = (0..0x180).filter_map(char::from_u32).collect();
        for (keep, kept) in [(Keep::Line, "\t"), (Keep::Lines, "\t\n")] {
            let mut out = Vec::new();
            write(&mut out, all.as_bytes(), keep).unwrap();
            let out = String::from_utf8(out).unwrap();
            let left: String = out.chars().filter(|c| c.is_control()).collect();
            assert_eq!(left, kept);
            assert!(out.contains("\\x1b") && out.contains("\\r") && out.contains("\\x9b"), "{out}");
            assert!(out.ends_with('\u{17f}') && out.contains('ÿ'), "{out}");
        }
        assert_eq!(line(b"a\xff\x9bb\n"), "a\\xff\\x9bb\\n");
        assert_eq!(line("\u{7f}\u{1b}]0;title\u{7}"), "\\x7f\\x1b]0;title\\x07");
    }
}
