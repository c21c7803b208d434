//! Layout and style, checked as a test.
