//! Any bytes as a PE image: an error, or sections that lie within it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagex_image::uki::PeImage;
use stagex_tree::Content;

fuzz_target!(|bytes: &[u8]| {
    let content = Content::from_bytes(bytes);
    let _ = PeImage::compute_checksum(&content);
    if let Ok(image) = PeImage::parse(&content) {
        for name in [".linux", ".cmdline", ".osrel", ".uname", ".sbat"] {
            let _ = image.text(name);
            if let Some(section) = image.section(name) {
                let _ = section;
            }
        }
        let _ = image.is_uki();
    }
});
