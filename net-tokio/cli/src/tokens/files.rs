//! Token files: of a server, of an agent, and of peers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing::warn;
use zeroize::Zeroizing;

use super::Tokens;
use crate::failure::Failure;
use crate::files;
use crate::files::warn_if_exposed;

/// Reads a server's file: `TOKEN` or `KEY TOKEN` a line.
pub(super) fn read_tokens(path: &Path) -> Result<Tokens, Failure> {
    let content = Zeroizing::new(files::read(path, "the token file", "--token-file")?);
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
    let content = Zeroizing::new(files::read(path, "the token file", option)?);
    let (number, line) = lines(&content).next().ok_or_else(|| {
        bad(path, &Problem { line: None, text: "there is no token in it: put one on a line" })
    })?;
    check_token(line).map_err(|text| bad(path, &problem(number, text)))?;
    Ok(Zeroizing::new(line.to_string()))
}

/// The error in a file, with its line.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    line: Option<usize>,
    text: &'static str,
}

const fn problem(line: usize, text: &'static str) -> Problem {
    Problem { line: Some(line), text }
}

fn bad(path: &Path, problem: &Problem) -> Failure {
    let Problem { line, text } = problem;
    let path = path.display();
    Failure::configuration(match line {
        Some(line) => format!("{path}:{line}: {text}"),
        None => format!("{path}: {text}"),
    })
}

/// The lines that count, with their numbers.
fn lines(content: &str) -> impl Iterator<Item = (usize, &str)> {
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

/// Warns that tokens can be guessed, without naming them.
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

const OPTION: &str = "--token-file";

/// An agent's token. A file is read again before each connection, so that the token can be changed
/// without a restart.
pub(crate) struct AgentToken {
    file: Option<PathBuf>,
    /// The last good one.
    token: Mutex<Zeroizing<String>>,
}

impl AgentToken {
    pub(crate) fn of_file(file: PathBuf) -> Result<Self, Failure> {
        let token = read_token(&file, OPTION)?;
        warn_if_exposed(&file, "the token file");
        warn_if_weak(&file, usize::from(is_weak(&token)));
        Ok(Self { file: Some(file), token: Mutex::new(token) })
    }

    pub(crate) fn fixed(token: &str) -> Self {
        Self { file: None, token: Mutex::new(token.to_string().into()) }
    }

    /// The token for the next connection. Reads the file, which may block.
    pub(crate) fn current(&self) -> String {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            match read_token(file, OPTION) {
                Ok(read) => *token = read,
                Err(failure) => warn!(%failure, "the token stays what it was"),
            }
        }
        token.to_string()
    }
}

impl fmt::Debug for AgentToken {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentToken").field("file", &self.file).finish_non_exhaustive()
    }
}

/// This server's own token, and tokens that it shares with one peer each.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PeerTokens {
    own: Option<Zeroizing<String>>,
    shared: SharedTokens,
}

/// By the ids of the peers.
pub(crate) type SharedTokens = BTreeMap<String, Zeroizing<String>>;

impl PeerTokens {
    pub(crate) const fn new(own: Option<Zeroizing<String>>, shared: SharedTokens) -> Self {
        Self { own, shared }
    }

    /// The token toward every peer that has none with this server alone.
    pub(crate) fn own(&self) -> Option<&str> {
        self.own.as_ref().map(|own| &***own)
    }

    /// The token that this server and the peer with this id prove themselves with to each other.
    pub(crate) fn shared_with(&self, id: &str) -> Option<&str> {
        self.shared.get(id).map(|shared| &***shared)
    }

    /// The ids of the peers that have one.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.shared.keys().map(String::as_str)
    }
}

impl fmt::Debug for PeerTokens {
    /// Without the tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTokens").field("ids", &self.shared.keys()).finish_non_exhaustive()
    }
}

/// Reads a file of `ID TOKEN` lines.
pub(crate) fn read_shared(path: &Path) -> Result<SharedTokens, Failure> {
    let content = files::read(path, "the file of the peers' tokens", "--peer-tokens")?;
    let content = Zeroizing::new(content);
    let (mut shared, mut weak) = (BTreeMap::new(), 0);
    for (number, line) in lines(&content) {
        let wrong = |text| bad(path, &problem(number, text));
        let words: Vec<_> = line.split_whitespace().collect();
        let &[id, token] = &*words else {
            return Err(wrong("expected `ID TOKEN`, the --peer-id of another server and a token"));
        };
        check_token(token).map_err(wrong)?;
        weak += usize::from(is_weak(token));
        if shared.insert(id.to_string(), token.to_string().into()).is_some() {
            return Err(wrong("this id has a line already"));
        }
    }
    let different: BTreeSet<&str> =
        shared.values().map(|token: &Zeroizing<String>| &***token).collect();
    if different.len() < shared.len() {
        let path = path.display();
        warn!(%path, "peers in the file have the same token: each of them can take the id of another one");
    }
    warn_if_exposed(path, "the file of the peers' tokens");
    warn_if_weak(path, weak);
    Ok(shared)
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

    #[test]
    fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "first\n").unwrap();
        let token = AgentToken::of_file(file.clone()).unwrap();
        assert_eq!(token.current(), "first");
        std::fs::write(&file, "second\n").unwrap();
        assert_eq!(token.current(), "second");
        std::fs::write(&file, "# nothing\n").unwrap();
        assert_eq!(token.current(), "second");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(token.current(), "second");
        assert_eq!(AgentToken::fixed("mine").current(), "mine");
        let shown = format!("{token:?} {:?}", AgentToken::fixed("mine"));
        assert!(!shown.contains("second") && !shown.contains("mine"), "{shown}");
    }
}
