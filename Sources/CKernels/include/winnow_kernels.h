#pragma once
// The mask-aware kernels; see ARCHITECTURE.md, "The engine".
int winnow_kernels_placeholder(void);
