//! Writes the fixtures and some random frames to a folder, one file each: the first corpus of the fuzz target `frame`.

use std::path::PathBuf;
use std::{env, fs, io};

use opof_testkit::frames::{RandomFrames, whole};

const RANDOM_FRAMES: usize = 500;

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("say where to: seed_frames FOLDER"))?;
    fs::create_dir_all(&folder)?;
    for fixture in whole() {
        fs::write(folder.join(fixture.name), fixture.frame)?;
    }
    for (at, frame) in RandomFrames::new(0).take(RANDOM_FRAMES).enumerate() {
        fs::write(folder.join(format!("random_{at}")), frame)?;
    }
    Ok(())
}
