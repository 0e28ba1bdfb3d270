//! Rotation of everything: master keys, workspace keys, records. Each on both databases.

mod bench;
mod check;
mod ids;
mod killed;
mod load;
mod place;
mod refused;
mod start;
mod whole;

pub(crate) use ids::handed_out;
use place::{Kind, Place};
