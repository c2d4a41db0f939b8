//! Files that come with messages: multipart bodies taken apart, and what was uploaded, served again.
//! Keeps files in memory only and forgets the oldest.

use std::collections::VecDeque;

use serde_json::{Value, json};

const FILES: usize = 100;

/// An uploaded file.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) filename: String,
    pub(crate) content_type: String,
    pub(crate) bytes: Vec<u8>,
}

/// What was uploaded lately.
#[derive(Debug, Default)]
pub(crate) struct Files {
    kept: VecDeque<(u64, Upload)>,
}

impl Files {
    /// Keeps a file under an id and gives its attachment object.
    pub(crate) fn keep(&mut self, id: u64, channel: u64, base: &str, upload: Upload) -> Value {
        let url = format!("{base}/attachments/{channel}/{id}/{}", upload.filename);
        let shape = json!({
            "id": id.to_string(), "filename": upload.filename, "size": upload.bytes.len(), "url": url,
            "proxy_url": url, "content_type": upload.content_type,
        });
        self.kept.push_back((id, upload));
        while self.kept.len() > FILES {
            self.kept.pop_front();
        }
        shape
    }

    /// The file of an attachment.
    pub(crate) fn get(&self, id: u64) -> Option<&Upload> {
        self.kept.iter().find(|(own, _)| *own == id).map(|(_, upload)| upload)
    }
}

/// Takes a `multipart/form-data` body apart: the JSON of `payload_json`, and the files. `None`: malformed.
pub(crate) fn multipart(content_type: &str, body: &[u8]) -> Option<(Value, Vec<Upload>)> {
    let boundary = content_type.split("boundary=").nth(1)?.split(';').next()?.trim().trim_matches('"');
    let delimiter = format!("--{boundary}");
    let mut payload = Value::Null;
    let mut uploads = Vec::new();
    for part in split(body, delimiter.as_bytes()).into_iter().skip(1) {
        if part.starts_with(b"--") {
            break;
        }
        let part = part.strip_prefix(b"\r\n")?;
        let at = find(part, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(part.get(..at)?).into_owned();
        let content = part.get(at + 4..)?;
        let content = content.strip_suffix(b"\r\n").unwrap_or(content);
        let name = parameter(&head, "name").unwrap_or_default();
        if name == "payload_json" {
            payload = serde_json::from_slice(content).ok()?;
        } else if let Some(filename) = parameter(&head, "filename") {
            let kind = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
            });
            uploads.push(Upload {
                filename,
                content_type: kind.unwrap_or_else(|| "application/octet-stream".to_owned()),
                bytes: content.to_vec(),
            });
        }
    }
    Some((payload, uploads))
}

fn parameter(head: &str, name: &str) -> Option<String> {
    let wanted = format!("; {name}=\"");
    let rest = head.split(&wanted).nth(1)?;
    rest.split('"').next().map(str::to_owned)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn split<'a>(mut bytes: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(bytes, delimiter) {
        let (part, rest) = bytes.split_at(at);
        parts.push(part);
        bytes = rest.get(delimiter.len()..).unwrap_or_default();
    }
    parts.push(bytes);
    parts
}

#[cfg(test)]
mod tests {
    use super::multipart;

    #[test]
    fn a_body_with_a_file_is_taken_apart() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"files[0]\"; filename=\"a.csv\"\r\n\
            Content-Type: text/csv\r\n\r\n1,2\r\n3,4\r\n--x\r\n\
            Content-Disposition: form-data; name=\"payload_json\"\r\n\r\n{\"content\":\"c\"}\r\n--x--\r\n";
        let (payload, files) = multipart("multipart/form-data; boundary=x", body).unwrap();
        assert_eq!(payload["content"], "c");
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].filename, "a.csv");
        assert_eq!(files[0].bytes, b"1,2\r\n3,4");
        assert!(multipart("multipart/form-data", body).is_none());
    }
}
