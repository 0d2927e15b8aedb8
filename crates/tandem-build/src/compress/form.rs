//! The ways to compress, and how hard each tries.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Brotli,
    Gzip,
    Zstandard,
}

/// All of them, with what they add to a file's name.
pub(super) const FORMS: [(Form, &str); 3] =
    [(Form::Brotli, ".br"), (Form::Gzip, ".gz"), (Form::Zstandard, ".zst")];

/// How hard each tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Levels {
    brotli: u32,
    gzip: u32,
    zstandard: i32,
}

impl Levels {
    /// By the content's length. A MiB of JavaScript took one core (and left, in percent of it), with brotli 11 5.8 s (21.3), 10
    /// 2.7 s (21.8), 9 0.6 s (23.4), 6 0.24 s (24.4); with zstd 19 0.5 s (21.9), 17 0.36 s (22.0); with gzip 9 0.08 s (26.8),
    /// 6 0.05 s (26.9). Above 4 MiB brotli 6 leaves 4 percent more than 9, and zstd 17 one more than 19, in half of the time.
    fn of(bytes: usize) -> Self {
        let (brotli, zstandard) = match bytes >> 10 {
            0..128 => (11, 19),
            128..512 => (10, 19),
            512..4096 => (9, 19),
            _ => (6, 17),
        };
        Self { brotli, gzip: 9, zstandard }
    }
}

impl Form {
    /// The same bytes for the same content, always: no form has a time in it.
    pub(super) fn compress(self, content: &[u8]) -> Vec<u8> {
        let levels = Levels::of(content.len());
        let written = "memory takes what is written to it";
        match self {
            Self::Brotli => {
                let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, levels.brotli, 22);
                writer.write_all(content).expect(written);
                writer.into_inner()
            }
            Self::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), Compression::new(levels.gzip));
                writer.write_all(content).expect(written);
                writer.finish().expect(written)
            }
            // Windows above 8 MiB need not be taken by clients (RFC 9659), and no level here has one.
            Self::Zstandard => zstd::bulk::compress(content, levels.zstandard).expect(written),
        }
    }
}
