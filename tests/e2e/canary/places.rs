//! Where things are written.

use std::fs;
use std::path::Path;

use claviger_tests::Process;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::marker::Marker;

/// Names of places and what is there.
#[derive(Default)]
pub(super) struct Places(Vec<(String, String)>);

impl Places {
    pub(super) fn add(&mut self, place: &str, text: String) {
        assert!(!text.is_empty(), "{place} is empty");
        self.0.push((place.to_owned(), text));
    }

    /// Every file of a folder, whatever it is.
    pub(super) fn files(&mut self, prefix: &str, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, name) = {
                let entry = entry.unwrap();
                (entry.path(), entry.file_name())
            };
            let place = format!("{prefix}{}", name.to_string_lossy());
            if path.is_dir() {
                self.files(&format!("{place}/"), &path);
            } else {
                self.0.push((place, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
            }
        }
    }

    /// Where a marker is, in whatever form, with what stands around it.
    pub(super) fn find(&self, marker: &Marker) -> Vec<String> {
        let mut hits = Vec::new();
        for (form, needle) in marker.forms() {
            for (place, text) in &self.0 {
                if let Some(start) = text.find(&needle) {
                    let before: String = text[..start].chars().rev().take(300).collect();
                    let before: String = before.chars().rev().collect();
                    let times = text.matches(&needle).count();
                    hits.push(format!("{place}: {form} ({times} times), behind: {before:?}"));
                }
            }
        }
        hits
    }

    pub(super) fn text(&self, place: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == place);
        found.map(|(_, text)| text.as_str()).unwrap_or_default()
    }
}

/// What Prometheus gets.
pub(super) async fn metrics(process: &Process) -> String {
    let mut stream = TcpStream::connect(process.address("metrics")).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    text
}
