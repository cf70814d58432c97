use alloc::string::String;

/// The head of a text that is only for people.
///
/// The Go end cuts texts inside a character, so bytes that are not UTF-8 are replaced: a closing
/// message must not fail because of its wording. What is not [`printable`] is replaced, too.
pub(super) fn keep_head(bytes: &[u8], limit: usize) -> String {
    let head = bytes.get(..limit).unwrap_or(bytes);
    let mut text = printable(&String::from_utf8_lossy(head));
    // Each replaced byte may have become three.
    while text.len() > limit {
        text.pop();
    }
    text
}

/// A text of the other end as it may stand in a log and on a terminal: without line ends and escape
/// sequences, with which it could forge lines that are not its own.
#[must_use]
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::keep_head;

    #[test]
    fn what_controls_a_terminal_is_gone() {
        assert_eq!(keep_head(b"a\r\nINFO forged\x1b[2J\xc2\x9bx", 100), "a  INFO forged [2J x");
    }

    #[test]
    fn a_short_text_is_kept() {
        assert_eq!(keep_head("añ".as_bytes(), 3), "añ");
    }

    #[test]
    fn a_long_text_loses_its_tail() {
        assert_eq!(keep_head(b"abcd", 3), "abc");
        assert_eq!(keep_head("aañ".as_bytes(), 3), "aa");
    }

    #[test]
    fn a_text_cut_inside_a_character_is_readable() {
        assert_eq!(keep_head(b"caf\xc3", 100), "caf\u{fffd}");
    }

    #[test]
    fn replacements_stay_within_the_limit() {
        assert_eq!(keep_head(&[0xff; 8], 8), "\u{fffd}\u{fffd}");
        assert_eq!(keep_head(&[0xff; 8], 0), "");
    }
}
