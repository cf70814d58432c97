use clap::Args;

/// The options of `watertight demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoOptions {
    /// How much the download transfers, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) size: u32,
}
