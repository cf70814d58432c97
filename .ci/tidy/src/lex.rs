//! Tokens and comments of a Rust file. A lexer drops comments, so they are read from the gaps between tokens.

use std::collections::BTreeSet;
use std::ops::Range;

use proc_macro2::{Delimiter, LexError, Span, TokenStream, TokenTree};

/// Where something stands.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// Its line, from 1.
    pub line: usize,
    /// Its first byte.
    pub offset: usize,
}

impl From<Span> for At {
    fn from(span: Span) -> Self {
        Self { line: span.start().line, offset: span.byte_range().start }
    }
}

/// A keyword, an identifier, a punctuation character, or `::`.
#[derive(Debug)]
pub struct Token {
    /// Its text.
    pub text: String,
    /// Where it stands.
    pub at: At,
}

impl Token {
    /// Whether it is a keyword or an identifier.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// A file cut into code and comments.
#[derive(Debug, Default)]
pub struct Lexed {
    /// The tokens, apart from delimiters and literals.
    pub tokens: Vec<Token>,
    /// The lines of the comments, without their markers.
    pub comments: Vec<(usize, String)>,
    /// The lines that have code.
    pub code: BTreeSet<usize>,
    /// The bytes of each item with `#[cfg(test)]`.
    pub tests: Vec<Range<usize>>,
}

impl Lexed {
    /// Whether the code at this byte belongs to an item that only tests have.
    pub fn is_test(&self, offset: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&offset))
    }
}

/// Cuts a file into code and comments.
pub fn lex(text: &str) -> Result<Lexed, LexError> {
    let mut lexer = Lexer { text, end: 0, end_line: 1, lexed: Lexed::default() };
    lexer.stream(text.parse()?);
    lexer.gap(text.len());
    Ok(lexer.lexed)
}

struct Lexer<'a> {
    text: &'a str,
    /// The end of the last token.
    end: usize,
    end_line: usize,
    lexed: Lexed,
}

impl Lexer<'_> {
    fn stream(&mut self, stream: TokenStream) {
        let (mut test, mut after_hash) = (None, false);
        for tree in stream {
            let Range { start, end } = tree.span().byte_range();
            let rest = self.text.get(start..).unwrap_or_default();
            // A doc comment is lexed as `#[doc = "…"]`, each token of which has the span of the comment.
            if rest.starts_with("//") || rest.starts_with("/*") {
                continue;
            }
            if after_hash && is_test_attribute(&tree) {
                test.get_or_insert(start);
            }
            after_hash = matches!(&tree, TokenTree::Punct(mark) if mark.as_char() == '#');
            let ends_item = match &tree {
                TokenTree::Punct(mark) => mark.as_char() == ';',
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                _ => false,
            };
            self.tree(tree);
            if ends_item && let Some(start) = test.take() {
                self.lexed.tests.push(start..end);
            }
        }
    }

    fn tree(&mut self, tree: TokenTree) {
        match tree {
            TokenTree::Group(group) => {
                self.code(group.span_open());
                self.stream(group.stream());
                self.code(group.span_close());
            }
            TokenTree::Literal(literal) => self.code(literal.span()),
            TokenTree::Ident(_) | TokenTree::Punct(_) => {
                self.code(tree.span());
                self.token(Token { text: tree.to_string(), at: tree.span().into() });
            }
        }
    }

    fn token(&mut self, token: Token) {
        match self.lexed.tokens.last_mut() {
            Some(last)
                if (&*last.text, &*token.text) == (":", ":")
                    && last.at.offset + 1 == token.at.offset =>
            {
                last.text.push(':');
            }
            _ => self.lexed.tokens.push(token),
        }
    }

    fn code(&mut self, span: Span) {
        self.gap(span.byte_range().start);
        (self.end, self.end_line) = (span.byte_range().end, span.end().line);
        self.lexed.code.extend(span.start().line..=self.end_line);
    }

    /// Takes the comments between the last token and the next one.
    fn gap(&mut self, until: usize) {
        let lines = self.text.get(self.end..until).unwrap_or_default().lines().map(str::trim);
        let comments = (self.end_line..).zip(lines).filter(|(_, text)| !text.is_empty());
        let bare =
            |text: &str| text.trim_start_matches(['/', '!', '*']).trim_end_matches("*/").to_owned();
        self.lexed.comments.extend(comments.map(|(line, text)| (line, bare(text))));
    }
}

fn is_test_attribute(tree: &TokenTree) -> bool {
    let text = tree.to_string().replace(' ', "");
    text == "[cfg(test)]" || text.starts_with("[cfg(all(test,")
}
