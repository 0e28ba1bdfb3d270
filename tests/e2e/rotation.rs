//! Rotation of everything: master keys, workspace keys, records. Each on both databases.

mod bench;
mod check;
mod killed;
mod load;
mod place;
mod refused;
mod start;
mod whole;

use place::{Kind, Place};
