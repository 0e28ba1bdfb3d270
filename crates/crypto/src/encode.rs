//! Lengths in front of variable fields, so that no two lists of fields share their bytes.

/// Appends the field's length (64 bits, big-endian) and the field.
pub(crate) fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&length(bytes));
    out.extend_from_slice(bytes);
}

/// Appends 0 for an absent field, or 1 and the field: absent and empty differ.
pub(crate) fn optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.push(0),
        Some(bytes) => {
            out.push(1);
            field(out, bytes);
        }
    }
}

/// A field's length as it stands in front of it. 64 bits hold every length there is.
pub(crate) fn length(bytes: &[u8]) -> [u8; 8] {
    (bytes.len() as u64).to_be_bytes()
}
