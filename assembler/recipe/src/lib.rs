//! Reads what people write into typed values.
