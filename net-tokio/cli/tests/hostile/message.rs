//! HTTP/1.1 as a parser reads it that forgives nothing (RFC 9112): what two parsers could understand
//! differently by two parsers is an error.

/// One message of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Without the blank line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Takes a message off the front of `bytes`; `None` while it is not whole. A response without a
    /// length has the rest of the `bytes` for its body, which is whole at the end of the connection.
    ///
    /// # Errors
    /// It is not well-formed, or has no single meaning.
    pub(crate) fn take(bytes: &mut &[u8]) -> Result<Option<Self>, String> {
        let Some((head, mut rest)) = split(bytes, b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(head).map_err(|error| error.to_string())?;
        let [lengths, codings] = framing(head)?;
        let status = head.strip_prefix("HTTP/1.1 ").or(head.strip_prefix("HTTP/1.0 "));
        let is_bare =
            |status: &str| ["1", "204", "304"].iter().any(|bare| status.starts_with(bare));
        let body = match (&*lengths, &*codings) {
            ([], ["chunked"]) => dechunk(&mut rest)?,
            (_, [_, ..]) => return Err(format!("no single framing: {head}")),
            ([], []) if status.is_some_and(|status| !is_bare(status)) => {
                Some(std::mem::take(&mut rest).to_vec())
            }
            ([], []) => Some(Vec::new()),
            ([length], []) => take(&mut rest, number(length, 10)?),
            _ => return Err(format!("no single length: {head}")),
        };
        let Some(body) = body else { return Ok(None) };
        *bytes = rest;
        Ok(Some(Self { head: head.to_string(), body }))
    }

    /// All messages of a connection, and whether something is left that is not whole.
    pub(crate) fn all(mut bytes: &[u8]) -> Result<(Vec<Self>, bool), String> {
        let mut all = Vec::new();
        while let Some(message) = Self::take(&mut bytes)? {
            all.push(message);
        }
        Ok((all, !bytes.is_empty()))
    }

    /// The second word: the target of a request, the status of a response.
    pub(crate) fn subject(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The values of a header, whose name is in lower case.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        values(&self.head, name)
    }
}

/// The lengths and the codings that a head names. Checks each of its lines.
fn framing(head: &str) -> Result<[Vec<&str>; 2], String> {
    let (_, lines) = head.split_once("\r\n").unwrap_or((head, ""));
    for line in head.split("\r\n") {
        if line.contains(['\r', '\n', '\0']) {
            return Err(format!("a control character in {line:?}"));
        }
    }
    for line in lines.split("\r\n").filter(|line| !line.is_empty()) {
        let name = line.split_once(':').map_or("", |(name, _)| name);
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("no header: {line:?}"));
        }
    }
    Ok(["content-length", "transfer-encoding"].map(|name| values(head, name)))
}

fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let named = lines.filter(|(given, _)| given.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.trim_matches([' ', '\t'])).collect()
}

fn dechunk(rest: &mut &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let Some((size, after)) = split(rest, b"\r\n") else { return Ok(None) };
        *rest = after;
        let size = number(&String::from_utf8_lossy(size), 16)?;
        if size == 0 {
            return trailers(rest).map(|whole| whole.then_some(body));
        }
        let Some(chunk) = take(rest, size + 2) else { return Ok(None) };
        let chunk = chunk.strip_suffix(b"\r\n").ok_or("no end of line behind a chunk")?;
        body.extend_from_slice(chunk);
    }
}

/// Reads to the blank line. Whether it has come.
fn trailers(rest: &mut &[u8]) -> Result<bool, String> {
    loop {
        let Some((line, after)) = split(rest, b"\r\n") else { return Ok(false) };
        *rest = after;
        if line.is_empty() {
            return Ok(true);
        }
        let line = format!("\r\n{}", String::from_utf8_lossy(line));
        if framing(&line)?.iter().any(|values| !values.is_empty()) {
            return Err(format!("framing in a trailer: {line:?}"));
        }
    }
}

fn number(text: &str, radix: u32) -> Result<usize, String> {
    let digits = !text.is_empty() && text.chars().all(|digit| digit.is_digit(radix));
    let value = usize::from_str_radix(text, radix).ok().filter(|_| digits);
    value.ok_or_else(|| format!("no number: {text:?}"))
}

fn take(rest: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken.to_vec())
}

fn split<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let index = bytes.windows(at.len()).position(|window| window == at)?;
    Some((&bytes[..index], &bytes[index + at.len()..]))
}
