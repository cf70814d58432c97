//! Words, links and headings of Markdown texts: documents, and comments.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A word in lower case, or the end of a sentence, which is empty.
#[derive(Debug)]
pub struct Word {
    /// Where it stands.
    pub line: usize,
    /// The word.
    pub text: String,
}

/// A link to a file or heading of the repository.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it stands.
    pub line: usize,
    /// The path, relative to the document; empty for the document itself.
    pub path: String,
    /// The heading, behind a `#`.
    pub heading: Option<String>,
}

/// The events of a text, each with its line.
fn events(text: &str, first: usize) -> impl Iterator<Item = (usize, Event<'_>)> {
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
    let line = move |start| first + text.get(..start).unwrap_or_default().matches('\n').count();
    events.map(move |(event, range)| (line(range.start), event))
}

/// The words of a text whose first line has this number, without code.
pub fn words(text: &str, first: usize) -> Vec<Word> {
    let (mut words, mut in_code) = (Vec::new(), false);
    for (line, event) in events(text, first) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Text(text) if !in_code => split(&text, line, &mut words),
            Event::End(
                TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Item | TagEnd::TableCell,
            ) => {
                words.push(Word { line, text: String::new() });
            }
            _ => {}
        }
    }
    words
}

/// The words of comments. Lines that follow each other are one text.
pub fn words_of_comments(comments: &[(usize, String)]) -> Vec<Word> {
    let blocks = comments.chunk_by(|(line, _), (next, _)| line + 1 == *next);
    let text = |block: &[(usize, String)]| {
        block.iter().map(|(_, text)| text.clone() + "\n").collect::<String>()
    };
    blocks
        .flat_map(|block| words(&text(block), block.first().map_or(1, |(line, _)| *line)))
        .collect()
}

fn split(text: &str, line: usize, words: &mut Vec<Word>) {
    let ends_sentence = ['.', '!', '?', ':', ';'];
    for piece in text.split_inclusive(ends_sentence) {
        let found = piece.split(|letter: char| !letter.is_alphanumeric() && letter != '\'');
        let found = found
            .filter(|word| !word.is_empty())
            .map(|word| word.trim_end_matches("'s").to_lowercase());
        let end = piece.ends_with(ends_sentence).then(String::new);
        words.extend(found.chain(end).map(|text| Word { line, text }));
    }
}

/// The lines where a phrase stands. A phrase with a dot in front stands at the beginning of a sentence.
pub fn find(words: &[Word], phrase: &str) -> Vec<usize> {
    let at_start = phrase.starts_with(". ");
    let phrase: Vec<&str> = phrase.trim_start_matches(". ").split(' ').collect();
    let before = |index: usize| index.checked_sub(1).and_then(|before| words.get(before));
    let windows = words.windows(phrase.len()).enumerate();
    let hits = windows.filter(|(index, words)| {
        words.iter().map(|word| word.text.as_str()).eq(phrase.iter().copied())
            && (!at_start || before(*index).is_none_or(|word| word.text.is_empty()))
    });
    hits.filter_map(|(_, words)| words.first().map(|word| word.line)).collect()
}

/// The links of a document, apart from those to other hosts and to items of the code.
pub fn links(text: &str) -> Vec<Link> {
    let targets = events(text, 1).filter_map(|(line, event)| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some((line, dest_url))
        }
        _ => None,
    });
    let own = targets.filter(|(_, target)| {
        !target.contains("::") && !target.contains("//") && !target.contains('@')
    });
    own.map(|(line, target)| {
        let (path, heading) = target
            .split_once('#')
            .map_or((&*target, None), |(path, heading)| (path, Some(heading)));
        Link { line, path: path.to_owned(), heading: heading.map(str::to_owned) }
    })
    .collect()
}

/// The lines of text with the bar of a table outside of tables and code: joined rows.
pub fn stray_bars(text: &str) -> Vec<usize> {
    let (mut lines, mut apart) = (Vec::new(), 0);
    for (line, event) in events(text, 1) {
        match event {
            Event::Start(Tag::CodeBlock(_) | Tag::Table(_)) => apart += 1,
            Event::End(TagEnd::CodeBlock | TagEnd::Table) => apart -= 1,
            Event::Text(text) if apart == 0 && text.contains('|') => lines.push(line),
            _ => {}
        }
    }
    lines
}

/// The names of a document's headings, as links have them.
pub fn headings(text: &str) -> Vec<String> {
    let (mut headings, mut title) = (Vec::new(), None);
    for (_, event) in events(text, 1) {
        match event {
            Event::Start(Tag::Heading { .. }) => title = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                headings.extend(title.take().map(|title| slug(&title)))
            }
            Event::Text(text) | Event::Code(text) => {
                title.iter_mut().for_each(|title| title.push_str(&text))
            }
            _ => {}
        }
    }
    headings
}

fn slug(title: &str) -> String {
    let title = title.to_lowercase().replace(' ', "-");
    title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
}
