//! Token files.

use std::collections::BTreeSet;
use std::path::Path;

use tracing::warn;
use zeroize::Zeroizing;

use super::Tokens;
use crate::exposure::warn_if_exposed;
use crate::failure::Failure;
use crate::text_file;

/// Reads a server's file: `TOKEN` or `KEY TOKEN` a line.
pub(super) fn read_tokens(path: &Path) -> Result<Tokens, Failure> {
    let content = Zeroizing::new(text_file::read(path, "the token file", "--token-file")?);
    let (tokens, weak) = parse_tokens(&content).map_err(|problem| bad(path, &problem))?;
    if tokens.len() == 0 {
        warn!(path = %path.display(), "there is no token in the file: no agent can connect");
    }
    warn_if_exposed(path, "the token file");
    warn_if_weak(path, weak);
    Ok(tokens)
}

/// Reads the file of one token, which the operator gave with `option`: the first line that counts.
pub(crate) fn read_token(path: &Path, option: &str) -> Result<Zeroizing<String>, Failure> {
    let content = Zeroizing::new(text_file::read(path, "the token file", option)?);
    let (number, line) = lines(&content).next().ok_or_else(|| {
        bad(path, &Problem { line: None, text: "there is no token in it: put one on a line" })
    })?;
    check_token(line).map_err(|text| bad(path, &problem(number, text)))?;
    Ok(Zeroizing::new(line.to_string()))
}

/// What is wrong with a file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    line: Option<usize>,
    text: &'static str,
}

pub(super) const fn problem(line: usize, text: &'static str) -> Problem {
    Problem { line: Some(line), text }
}

pub(super) fn bad(path: &Path, problem: &Problem) -> Failure {
    let Problem { line, text } = problem;
    let path = path.display();
    Failure::configuration(match line {
        Some(line) => format!("{path}:{line}: {text}"),
        None => format!("{path}: {text}"),
    })
}

/// The lines that count, with their numbers.
pub(super) fn lines(content: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = content.lines().zip(1..).map(|(line, number)| (number, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// A file that is being written may be cut behind a key, which is no secret, and would be a token for all.
fn check_whole(content: &str) -> Result<(), Problem> {
    let words = |line: &str| line.split_whitespace().count();
    let has_keys = lines(content).any(|(_, line)| words(line) == 2);
    let last = content.lines().count();
    match lines(content).last() {
        Some((number, line))
            if has_keys && words(line) == 1 && number == last && !content.ends_with('\n') =>
        {
            Err(problem(
                number,
                "the last line is one word and has no end: the file was cut, or end the line of a token",
            ))
        }
        _ => Ok(()),
    }
}

/// The tokens, and how many of them are weak.
fn parse_tokens(content: &str) -> Result<(Tokens, usize), Problem> {
    let (mut tokens, mut weak) = (Tokens::default(), 0);
    check_whole(content)?;
    for (number, line) in lines(content) {
        let problem = |text| problem(number, text);
        let mut words = line.split_whitespace();
        let (key, token) = match (words.next(), words.next(), words.next()) {
            (Some(token), None, _) => (None, token),
            (Some(_), Some(comment), _) if comment.starts_with('#') => {
                return Err(problem(
                    "a comment has a line of its own; behind a token it would be one",
                ));
            }
            (Some(key), Some(token), None) => (Some(key), token),
            _ => return Err(problem("expected `TOKEN` or `KEY TOKEN`, found more words")),
        };
        check_token(token).map_err(problem)?;
        weak += usize::from(is_weak(token));
        tokens.add(key, token);
    }
    Ok((tokens, weak))
}

/// Characters of a token below which it can be guessed: 64 bits in hexadecimal digits.
const SHORT: usize = 16;

/// Whether a token is short, or is made of few characters.
pub(crate) fn is_weak(token: &str) -> bool {
    let characters: BTreeSet<_> = token.bytes().collect();
    token.len() < SHORT || characters.len() < SHORT / 2
}

/// Says that tokens can be guessed, and not which.
pub(crate) fn warn_if_weak(path: &Path, weak: usize) {
    if weak > 0 {
        let path = path.display();
        warn!(
            %path,
            weak,
            "tokens in the file are short enough to be guessed: make each with `openssl rand -hex 32`"
        );
    }
}

/// A token travels in an HTTP header.
pub(crate) fn check_token(token: &str) -> Result<(), &'static str> {
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("a token has only visible ASCII characters and no blanks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_entries() {
        let (tokens, weak) = parse_tokens("# mine\n\n  secret\nedge\tother \n").unwrap();
        assert_eq!(weak, 2);
        assert_eq!(tokens.len(), 2);
        assert_eq!(tokens.check(Some("lab"), Some("secret")).unwrap().0, "lab");
        assert_eq!(tokens.check(Some("edge"), Some("other")).unwrap().0, "edge");
        assert_eq!(parse_tokens("# nothing\n").unwrap().0.len(), 0);
        let strong = "edge 0123456789abcdef0123456789abcdef\n";
        assert_eq!(parse_tokens(strong).unwrap().1, 0);
        assert_eq!(parse_tokens("edge aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n").unwrap().1, 1);
    }

    #[test]
    fn problems_have_a_line() {
        let problem = |content: &str| parse_tokens(content).unwrap_err();
        assert_eq!(problem("a\nb c d\n").line, Some(2));
        for comment in ["secret #mine\n", "secret # mine\n"] {
            assert!(problem(comment).text.contains("a line of its own"));
        }
        assert_eq!(problem("a\n\nk\u{e9}y t\u{f6}ken\n").line, Some(3));
        // Cut behind a key.
        assert_eq!(problem("edge-7 secret\nedge-8").line, Some(2));
        for whole in
            ["edge-7 secret\nshared\n", "edge-7 secret", "secret", "edge-7 secret\nshared\n# end"]
        {
            assert!(parse_tokens(whole).is_ok(), "{whole}");
        }
    }
}
