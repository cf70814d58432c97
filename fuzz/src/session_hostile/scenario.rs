//! A session's configuration and the steps that it is put through, as arbitrary input.

use arbitrary::{Arbitrary, Result, Unstructured};
use watertight_core::Role;
use watertight_core::wire::Dialect;

use super::draw::byte;
use super::{Size, Step};

/// A session and everything that happens to it.
#[derive(Arbitrary, Clone, Debug)]
pub struct Scenario {
    /// The session's end of the tunnel.
    #[arbitrary(with = role)]
    pub role: Role,
    /// What is spoken.
    #[arbitrary(with = dialect)]
    pub dialect: Dialect,
    /// Whether the peer has sent its Settings, as it must where there are some.
    pub settled: bool,
    /// The session's limits.
    pub size: Size,
    /// What happens, one after the other.
    #[arbitrary(with = steps)]
    pub steps: Vec<Step>,
}

fn role(u: &mut Unstructured<'_>) -> Result<Role> {
    Ok(if byte(u)? % 2 == 0 { Role::Acceptor } else { Role::Connector })
}

fn dialect(u: &mut Unstructured<'_>) -> Result<Dialect> {
    Ok(if byte(u)? % 2 == 0 { Dialect::Base } else { Dialect::Extended })
}

/// As many as there are bytes for: a length in front would make every insertion a change of two places.
fn steps(u: &mut Unstructured<'_>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    while !u.is_empty() {
        steps.push(Step::arbitrary(u)?);
    }
    Ok(steps)
}
