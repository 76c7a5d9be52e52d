/* SPDX-License-Identifier: MIT */
/* What clients in the lab find under this name: the part that the lab has. */
#include "../../gpu/libcuda/cuda_lab.h"
