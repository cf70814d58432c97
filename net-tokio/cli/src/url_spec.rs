//! URLs, in the operator's words.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use watertight::InvalidEndpoint;

use crate::failure::Failure;

/// A URL as it was given: read later, so that no complaint shows a password that stands in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UrlSpec(String);

impl UrlSpec {
    /// What it means as the value of `option`.
    pub(crate) fn read<T>(&self, option: &str) -> Result<T, Failure>
    where
        T: FromStr<Err = InvalidEndpoint>,
    {
        self.0.parse().map_err(|error| Failure::configuration(format_args!("{option}: {error}")))
    }
}

impl FromStr for UrlSpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_string()))
    }
}

impl fmt::Debug for UrlSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlSpec")
    }
}
