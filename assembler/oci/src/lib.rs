//! Content-addressed layer store and OCI image layouts.
