/// Which actions and faults a seed has at all.
pub struct Swarm;
