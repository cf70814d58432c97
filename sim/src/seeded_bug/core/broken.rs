//! How a tunnel is broken: a session with one thing wrong at its boundary.

use watertight_core::wire::{Body, DecodeLimits, Dialect, Message};
use watertight_core::{Instant, Role, Session, SessionConfig, Transmit};

use crate::core_world::frame::Label;
use crate::core_world::tunnel::{End, Habits, Tunnel};

/// Makes an end that is a session but for the methods that follow its fields.
macro_rules! broken {
    (
        $(#[$doc:meta])*
        $name:ident { $($field:ident: $type:ty),* $(,)? }
        $($otherwise:tt)*
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name {
            session: watertight_core::Session,
            $($field: $type,)*
        }

        impl From<watertight_core::Session> for $name {
            fn from(session: watertight_core::Session) -> Self {
                Self { session, $($field: Default::default(),)* }
            }
        }

        impl $crate::core_world::tunnel::End for $name {
            fn session(&self) -> &watertight_core::Session {
                &self.session
            }

            fn session_mut(&mut self) -> &mut watertight_core::Session {
                &mut self.session
            }

            $($otherwise)*
        }
    };
}

pub(super) use broken;

/// A tunnel with something wrong: its ends, their configuration, or the habits of its hosts.
#[derive(Clone, Copy)]
pub(super) struct Broken {
    end: fn(Session) -> Box<dyn End>,
    configure: fn(&mut SessionConfig),
    habits: Habits,
}

impl Broken {
    /// A session that is right so far.
    pub(super) const RIGHT: Self =
        Self { end: |session| Box::new(session), configure: |_| {}, habits: Habits::RIGHT };

    /// With these ends.
    pub(super) fn with_ends<E: End + From<Session> + 'static>(self) -> Self {
        Self { end: |session| Box::new(E::from(session)), ..self }
    }

    /// With the configuration of its sessions changed.
    pub(super) const fn configured(self, configure: fn(&mut SessionConfig)) -> Self {
        Self { configure, ..self }
    }

    /// With other habits of its hosts.
    pub(super) const fn with_habits(self, habits: Habits) -> Self {
        Self { habits, ..self }
    }
}

impl Tunnel for Broken {
    type End = Box<dyn End>;

    fn end(
        &self,
        now: Instant,
        role: Role,
        dialect: Dialect,
        config: SessionConfig,
    ) -> Box<dyn End> {
        let mut config = config;
        (self.configure)(&mut config);
        (self.end)(Session::new(now, role, dialect, config))
    }

    fn habits(&self) -> Habits {
        self.habits
    }
}

/// The type of an outgoing message.
pub(super) fn label(transmit: &Transmit) -> Label {
    match transmit {
        Transmit::Message(message) => Label::of(&message.header),
        Transmit::TransportPing(_) => Label::default(),
    }
}

/// The body of an outgoing message.
pub(super) fn body(transmit: &Transmit) -> Option<Body> {
    let Transmit::Message(message) = transmit else { return None };
    decode(&message.to_bytes())
}

/// The body of a message.
pub(super) fn decode(message: &bytes::Bytes) -> Option<Body> {
    let decoded =
        Message::decode(message.clone(), Dialect::Extended, &DecodeLimits::default()).ok()?;
    Some(decoded.body)
}

/// Sends what the session has to send, but for what is lost.
pub(super) fn transmit_unless(
    session: &mut Session,
    now: Instant,
    mut is_lost: impl FnMut(&Transmit) -> bool,
) -> Option<Transmit> {
    loop {
        let transmit = session.poll_transmit(now)?;
        if !is_lost(&transmit) {
            return Some(transmit);
        }
    }
}
