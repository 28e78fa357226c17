//! Any bytes as the EFI stub and the kernel of a unified kernel image: refused, or laid out in an
//! image that can be read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagex_image::{
    Image,
    uki::{PeImage, Uki},
};
use stagex_tree::Content;

fuzz_target!(|input: (&[u8], &[u8], String, Option<Vec<u8>>)| {
    let (stub, kernel, cmdline, dtb) = input;
    let uki = Uki {
        stub: Content::from_bytes(stub),
        kernel: Content::from_bytes(kernel),
        initrd: Some(Content::from_bytes(*b"initrd")),
        cmdline,
        os_release: None,
        uname: None,
        sbat: None,
        ucode: None,
        dtb: dtb.map(Content::from_bytes),
    };
    if let Ok(plan) = uki.plan() {
        let mut out = Vec::new();
        plan.write(&mut out).unwrap();
        assert_eq!(out.len() as u64, plan.len());
        assert!(PeImage::parse(&Content::from_bytes(out)).unwrap().is_uki());
    }
});
