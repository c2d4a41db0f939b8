//! `dca-auth bench`: figures of this machine, each beside the figure that it is measured against, in one run.

mod histogram;
mod load;
