use std::sync::Arc;
use std::time::Duration;

use tracing::info;
use watertight::{Agent, Forward, Policy};

use super::AgentPlan;
use crate::address::ListenAddr;
use crate::bind::{Binder, Bound};
use crate::books::Books;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;
use crate::unix_socket::SocketFile;

/// An agent with its forwards.
#[derive(Debug)]
pub(crate) struct RunningAgent {
    pub(crate) agent: Agent,
    /// A forward ends when its handle is dropped.
    _forwards: Vec<Forward>,
    addresses: Vec<(String, ListenAddr)>,
    _files: Vec<SocketFile>,
}

impl RunningAgent {
    pub(crate) async fn start(plan: &AgentPlan) -> Result<Self, Failure> {
        let binder = Binder::of(plan.forwards.iter().map(|forward| &forward.listen));
        let (mut sockets, mut policy) = (Vec::new(), plan.policy.clone());
        for forward in &plan.forwards {
            for bound in binder.bind(&forward.listen, "--forward").await? {
                bound.exclude_from(&mut policy)?;
                sockets.push((forward, bound));
            }
        }
        let mut running = Self {
            agent: start(plan, policy),
            _forwards: Vec::new(),
            addresses: Vec::new(),
            _files: Vec::new(),
        };
        for (forward, bound) in sockets {
            let Bound { listener, address, file } = bound;
            let target = forward.target.to_string();
            running._forwards.push(running.agent.forward(listener, &target));
            running.addresses.push((format!("forward {target}"), address));
            running._files.extend(file);
        }
        Ok(running)
    }

    pub(crate) fn announce(&self, output: Output) {
        for (purpose, address) in &self.addresses {
            info!(%address, purpose, "listening");
            output.listening(purpose, &address.to_string());
        }
    }

    /// Drains, for `drain_timeout` at most or until told again, and returns the books.
    pub(crate) async fn stop(self, drain_timeout: Duration, signals: &mut Signals) -> Books {
        let drain = self.agent.clone().shutdown(drain_timeout);
        let close = self.agent.shutdown(Duration::ZERO);
        Books::of_agent(&signals.drain_or_close(drain, close).await)
    }
}

fn start(plan: &AgentPlan, policy: Policy) -> Agent {
    let builder = Agent::builder(plan.endpoint.clone(), &plan.key).policy(policy);
    let builder = builder.session(plan.session.clone()).keepalive(plan.keepalive);
    let builder = builder.reconnect(plan.reconnect).buffers(plan.max_buffered.buffers());
    let builder = if plan.extended_only { builder.extended_only() } else { builder };
    let builder = plan
        .headers
        .iter()
        .fold(builder, |builder, (name, value)| builder.header(name.clone(), value.clone()));
    let builder = match &plan.token {
        Some(token) => {
            let token = Arc::clone(token);
            builder.token_with(move || token.current())
        }
        None => builder,
    };
    let builder = match &plan.tls {
        Some(tls) => builder.tls(tls.clone()),
        None => builder,
    };
    match &plan.proxy {
        Some(proxy) => builder.proxy(proxy.clone()).start(),
        None => builder.start(),
    }
}
