//! Characters that make a line look like another one.

use std::borrow::Cow;
use std::fmt::Write;

/// The line with each character that reverses, hides or breaks text written as its code: `\u202e`. So
/// it stands in JSON as well. What is not UTF-8 stays as it is.
pub(super) fn visible(line: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(line) else { return Cow::Borrowed(line) };
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(line);
    }
    let mut shown = String::new();
    for char in text.chars() {
        if is_deceptive(char) {
            // A string takes whatever it is given.
            write!(shown, "\\u{:04x}", u32::from(char)).ok();
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown.into_bytes())
}

/// Marks of direction, blanks of no width, ends of lines that few programs know, and the second set of
/// control characters.
fn is_deceptive(char: char) -> bool {
    matches!(
        char,
        '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_written_as_its_code() {
        let shown = |text: &str| String::from_utf8(visible(text.as_bytes()).into_owned()).unwrap();
        assert_eq!(shown("client=\"a\u{202e}b\"\n"), "client=\"a\\u202eb\"\n");
        assert_eq!(shown("a\u{2028}INFO forged\u{85}x"), "a\\u2028INFO forged\\u0085x");
        let json = serde_json::json!({ "client": "\u{2066}x\u{200b}" }).to_string();
        let read: serde_json::Value = serde_json::from_str(&shown(&json)).unwrap();
        assert_eq!(read["client"], "\u{2066}x\u{200b}");
        for plain in ["Küche – 北京 🦀\n", "\t"] {
            assert!(matches!(visible(plain.as_bytes()), Cow::Borrowed(_)));
        }
        assert_eq!(&*visible(b"\xff\n"), b"\xff\n");
    }
}
