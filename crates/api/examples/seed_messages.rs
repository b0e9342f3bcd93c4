//! Writes the messages that the tests use into a folder, one a file: what a fuzzer begins with.

use std::error::Error;
use std::path::PathBuf;

use serde_json::Value;

const VECTORS: [(&str, &str); 4] = [
    ("v1", include_str!("../tests/vectors/openoffload_v1.jsonl")),
    ("v1_1", include_str!("../tests/vectors/openoffload_v1_1.jsonl")),
    ("v1beta1", include_str!("../tests/vectors/openoffload_v1beta1.jsonl")),
    ("v2", include_str!("../tests/vectors/openoffload_v2.jsonl")),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: seed_messages FOLDER")?);
    for (dialect, line) in VECTORS.into_iter().flat_map(|(dialect, text)| text.lines().map(move |line| (dialect, line)))
    {
        let vector: Value = serde_json::from_str(line)?;
        let text = |key| vector[key].as_str().ok_or("a vector has a name and an encoding in hex");
        let bytes: Result<Vec<u8>, _> = text("hex")?
            .as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(&String::from_utf8_lossy(two), 16))
            .collect();
        std::fs::write(folder.join(format!("{dialect}-{}", text("name")?)), bytes?)?;
    }
    Ok(())
}
