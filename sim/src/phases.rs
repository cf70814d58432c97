//! The phases of a run, the same in both worlds: traffic, heal, quiesce, probe, shut down.

use crate::schedule::TrafficEnd;

/// A world that a run takes through its phases.
pub(crate) trait Phases {
    /// The reason why a run stops before its end.
    type Stop;

    /// Performs the steps of the schedule.
    fn traffic(&mut self) -> Result<(), Self::Stop>;

    /// Ends every fault: links work, crashed hosts start, hostile agents leave.
    fn heal(&mut self) -> Result<(), Self::Stop>;

    /// Has the applications end what is open, and waits until nothing is.
    fn quiesce(&mut self, traffic_end: TrafficEnd) -> Result<(), Self::Stop>;

    /// Dials every agent once more: healed links and hosts work, and nothing more is held than at rest.
    fn probe(&mut self) -> Result<(), Self::Stop>;

    /// Shuts every host down, after which nothing is held.
    fn shut_down(&mut self, traffic_end: TrafficEnd) -> Result<(), Self::Stop>;
}

/// Takes a world through its phases. With [`TrafficEnd::Shutdown`] the hosts shut down while everything is
/// still open.
pub(crate) fn run<W: Phases>(world: &mut W, traffic_end: TrafficEnd) -> Result<(), W::Stop> {
    world.traffic()?;
    world.heal()?;
    if traffic_end != TrafficEnd::Shutdown {
        world.quiesce(traffic_end)?;
        world.probe()?;
    }
    world.shut_down(traffic_end)
}
