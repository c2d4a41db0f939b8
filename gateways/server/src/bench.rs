//! `dca-auth bench`: figures of this machine, each beside the figure that it is measured against, in one run.

mod histogram;
mod load;

use crate::cli::Bench;
use crate::failure::{Failure, Outcome};
use crate::output::Format;

pub(crate) async fn run(_bench: &Bench, _format: Format) -> Outcome<()> {
    Err(Failure::new("not yet"))
}
