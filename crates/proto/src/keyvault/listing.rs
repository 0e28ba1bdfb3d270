//! What all listings have in common.

use claviger_core::command::PageRequest;
use claviger_core::fault::Fault;
use claviger_core::filter::{Field, Filter};

use crate::convert::filled;

const DEFAULT_PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 500;

pub(super) fn page(size: i32, token: &str) -> Result<PageRequest, Fault> {
    page_of(DEFAULT_PAGE, LARGEST_PAGE, size, token)
}

/// For a listing with sizes of its own.
pub(super) fn page_of(default: u32, largest: u32, size: i32, token: &str) -> Result<PageRequest, Fault> {
    let size = u32::try_from(size).map_err(|_| Fault::field("page_size", "must not be negative"))?;
    let size = if size == 0 { default } else { size.min(largest) };
    Ok(PageRequest { size, token: filled(token).map(str::to_owned) })
}

pub(super) fn filter(text: &str, fields: &[Field]) -> Result<Filter, Fault> {
    Filter::parse(text, fields).map_err(|error| Fault::field("filter", error))
}

/// The paths of an update mask: at least one, none twice in effect, all of them known.
pub(super) fn paths<'m>(mask: Option<&'m prost_types::FieldMask>, known: &[&str]) -> Result<Vec<&'m str>, Fault> {
    let one_of =
        || Fault::field("update_mask", format!("must name at least one of {}, and nothing else", known.join(", ")));
    let paths: Vec<&str> = mask.ok_or_else(one_of)?.paths.iter().map(String::as_str).collect();
    if paths.is_empty() || paths.iter().any(|path| !known.contains(path)) {
        return Err(one_of());
    }
    Ok(paths)
}
