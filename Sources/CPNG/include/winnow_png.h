#pragma once
// PNG pictures with libpng, whose errors end in a long jump that Swift must not see.

#include <stddef.h>
#include <stdint.h>

// Size of the error text, with its terminating zero.
enum { WINNOW_PNG_MESSAGE = 256 };

// Decodes a picture of at most `pixels_max` pixels to `*rgb`, [row][column][3], which the caller frees. Returns 0, or
// -1 if the picture cannot be decoded, and `message` says why. Grey and palette pictures become RGB, transparent pixels
// show their colour; 16 bits and animations are refused. Gamma is ignored.
int winnow_png_decode(const uint8_t *bytes, size_t count, size_t pixels_max, uint8_t **rgb, int32_t *width,
                      int32_t *height, char *message);
