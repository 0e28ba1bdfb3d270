//! A text that occurs nowhere by chance, and the forms in which it could be written.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::database::hex;

/// 64 characters.
pub(super) struct Marker(String);

impl Marker {
    pub(super) fn new() -> Self {
        Self(format!("{}{}", Uuid::now_v7().simple(), Uuid::now_v7().simple()))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Each half as it is, in hexadecimal, in base64 at every alignment, and as a list of numbers. A half is in whatever
    /// holds the whole.
    pub(super) fn forms(&self) -> Vec<(String, String)> {
        let (first, second) = self.0.split_at(self.0.len() / 2);
        [("first half", first), ("second half", second)]
            .into_iter()
            .flat_map(|(half, text)| forms(half, text))
            .collect()
    }
}

fn forms(half: &str, text: &str) -> Vec<(String, String)> {
    let bytes = text.as_bytes();
    let numbers: Vec<_> = bytes.iter().map(ToString::to_string).collect();
    let mut forms = vec![
        (format!("{half}, plain"), text.to_owned()),
        (format!("{half}, reversed"), text.chars().rev().collect()),
        (format!("{half}, hexadecimal"), hex(bytes)),
        (format!("{half}, upper-case hexadecimal"), hex(bytes).to_uppercase()),
        (format!("{half}, numbers"), numbers.join(", ")),
    ];
    for skip in 0..3 {
        // whole groups of three bytes: their four characters do not depend on what stands around them
        let whole = &bytes[skip..skip + (bytes.len() - skip) / 3 * 3];
        forms.push((format!("{half}, base64 from {skip}"), STANDARD_NO_PAD.encode(whole)));
        forms.push((format!("{half}, URL-safe base64 from {skip}"), URL_SAFE_NO_PAD.encode(whole)));
    }
    let mut seen = BTreeSet::new();
    forms.retain(|(_, form)| seen.insert(form.clone())); // some writings of these letters are the same
    forms
}

#[test]
fn every_form_is_found_within_more() {
    let marker = Marker::new();
    let found = |text: &str| marker.forms().iter().any(|(_, form)| text.contains(form.as_str()));
    assert!(!found("nothing"));
    for before in ["", "s", "sk", "sk-"] {
        let text = format!("{before}{}+more", marker.text());
        assert!(found(&text) && found(&STANDARD_NO_PAD.encode(&text)) && found(&URL_SAFE_NO_PAD.encode(&text)));
        assert!(
            found(&hex(text.as_bytes())) && found(&format!("{:?}", text.as_bytes())) && found(&format!("{text:?}"))
        );
    }
}
