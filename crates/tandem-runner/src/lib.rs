//! The host reconciler: makes what runs here equal to the assignment document.
