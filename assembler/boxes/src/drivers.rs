//! What a kernel has to have for a box to start.

use std::collections::BTreeSet;

use stagex_recipe::boxes::{BoxRecipe, Output, RootCompression, RootFormat, RootFs};

use crate::Error;

/// Refuses a kernel whose configuration lacks what the box's root file system or outputs need: it
/// would be built, written and started before anybody saw that.
pub(crate) fn check(recipe: &BoxRecipe, config: &str) -> Result<(), Error> {
    let on: BTreeSet<&str> = config
        .lines()
        .filter_map(|line| line.strip_suffix("=y").or_else(|| line.strip_suffix("=m")))
        .collect();
    let missing = needed(recipe).into_iter().find(|(option, _)| !on.contains(option));
    match missing {
        None => Ok(()),
        Some((option, why)) => {
            let text = format!("the kernel {} has no {option}", recipe.kernel.package.value);
            let error = recipe.document.error(recipe.kernel.package.span, text);
            Err(error.with_help(format!("{why}: add {option}=y to its fragments")).into())
        }
    }
}

/// Options, and what needs them.
fn needed(recipe: &BoxRecipe) -> Vec<(&'static str, &'static str)> {
    let mut needed = Vec::new();
    let outputs = |wanted: &[Output]| recipe.outputs.iter().any(|o| wanted.contains(&o.value));
    if outputs(&[Output::Iso, Output::Disk, Output::Qcow2, Output::Uki]) {
        needed.push(("CONFIG_EFI_STUB", "UEFI starts it"));
    }
    let format = match recipe.rootfs.format {
        RootFormat::Initramfs => {
            needed.push(("CONFIG_BLK_DEV_INITRD", "the root file system is an initramfs"));
            ("CONFIG_RD_ZSTD", "the initramfs is compressed with zstd")
        }
        RootFormat::Erofs => ("CONFIG_EROFS_FS", "the root file system is EROFS"),
        RootFormat::Squashfs => ("CONFIG_SQUASHFS", "the root file system is SquashFS"),
        RootFormat::Ext4 => ("CONFIG_EXT4_FS", "the root file system is ext4"),
    };
    needed.push(format);
    needed.extend(decoder(&recipe.rootfs));
    if recipe.rootfs.format != RootFormat::Initramfs {
        needed.push(("CONFIG_EFI_PARTITION", "the root file system lies in a GPT's partition"));
    }
    if recipe.rootfs.verity {
        needed.push(("CONFIG_DM_VERITY", "the root file system is checked by verity"));
        needed.push(("CONFIG_DM_INIT", "verity is set up by the command line"));
    }
    needed
}

/// What unpacks a compressed root file system.
fn decoder(rootfs: &RootFs) -> Vec<(&'static str, &'static str)> {
    let compress = rootfs.compress;
    match (rootfs.format, compress) {
        (RootFormat::Erofs, Some(RootCompression::Lz4)) => {
            vec![("CONFIG_EROFS_FS_ZIP", "the root file system is compressed")]
        }
        (RootFormat::Erofs, Some(RootCompression::Zstd(_))) => vec![
            ("CONFIG_EROFS_FS_ZIP", "the root file system is compressed"),
            ("CONFIG_EROFS_FS_ZIP_ZSTD", "the root file system is compressed with zstd"),
        ],
        (RootFormat::Squashfs, compress) => vec![match compress {
            None | Some(RootCompression::Zstd(_) | RootCompression::None) => {
                ("CONFIG_SQUASHFS_ZSTD", "the root file system is compressed with zstd")
            }
            Some(RootCompression::Xz(_)) => {
                ("CONFIG_SQUASHFS_XZ", "the root file system is compressed with xz")
            }
            Some(RootCompression::Gzip(_)) => {
                ("CONFIG_SQUASHFS_ZLIB", "the root file system is compressed with gzip")
            }
            Some(RootCompression::Lz4) => {
                ("CONFIG_SQUASHFS_LZ4", "the root file system is compressed with lz4")
            }
        }],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use stagex_recipe::Document;

    use super::*;

    fn recipe(rootfs: &str) -> BoxRecipe {
        let text = format!(
            "[box]\nname = \"b\"\nversion = \"1\"\narchitectures = [\"x86_64\"]\n\
             outputs = [\"disk\"]\n[kernel]\npackage = \"kernel-k\"\n[rootfs]\n{rootfs}\n"
        );
        BoxRecipe::parse(&Document::new("box.toml", text)).unwrap()
    }

    #[test]
    fn a_kernel_without_a_driver_that_is_needed_is_refused_and_named() {
        let whole = "CONFIG_EFI_STUB=y\nCONFIG_EXT4_FS=y\nCONFIG_EFI_PARTITION=y\n\
                     CONFIG_DM_VERITY=m\nCONFIG_DM_INIT=y\n";
        let box_toml = recipe("format = \"ext4\"\nverity = true");
        check(&box_toml, whole).unwrap();
        for (option, _) in needed(&box_toml) {
            let without = whole.replace(&format!("{option}="), "# ");
            let error = check(&box_toml, &without).unwrap_err().to_string();
            assert!(error.contains(&format!("kernel-k has no {option}")), "{error}");
            assert!(error.contains(&format!("add {option}=y")), "{error}");
        }
        assert!(check(&recipe("format = \"initramfs\""), whole).is_err());
        let of = |text: &str| -> Vec<&str> {
            needed(&recipe(text)).into_iter().map(|(option, _)| option).collect()
        };
        assert!(!of("format = \"erofs\"").contains(&"CONFIG_EROFS_FS_ZIP"));
        let zstd = of("format = \"erofs\"\ncompress = \"zstd\"");
        assert!(
            zstd.contains(&"CONFIG_EROFS_FS_ZIP") && zstd.contains(&"CONFIG_EROFS_FS_ZIP_ZSTD")
        );
        for (how, option) in [("zstd", "ZSTD"), ("xz", "XZ"), ("gzip", "ZLIB"), ("lz4", "LZ4")] {
            let needed = of(&format!("format = \"squashfs\"\ncompress = \"{how}\""));
            assert!(needed.contains(&&*format!("CONFIG_SQUASHFS_{option}")), "{needed:?}");
        }
    }
}
