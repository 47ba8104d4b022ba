#include "winnow_jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
// stdio.h comes first: libjpeg's header needs it.
#include <jerror.h>
#include <jpeglib.h>

typedef struct {
    struct jpeg_error_mgr manager;  // libjpeg sees only this
    jmp_buf back;
    char *message;
} failure;

static void fail(j_common_ptr info) {
    failure *failed = (failure *)info->err;
    info->err->format_message(info, failed->message);
    longjmp(failed->back, 1);
}

// Warnings of damaged data that libjpeg tolerates.
static void ignore(j_common_ptr info, int level) {
    (void)info;
    (void)level;
}

// libjpeg would invent the rest of a picture that is cut short.
static boolean refill(j_decompress_ptr info) {
    ERREXIT(info, JERR_INPUT_EOF);
    return FALSE;
}

int winnow_jpeg_decode(const uint8_t *bytes, size_t count, size_t pixels_max, uint8_t **rgb, int32_t *width,
                       int32_t *height, char *message) {
    _Static_assert((int)WINNOW_JPEG_MESSAGE >= JMSG_LENGTH_MAX, "a message fits");
    struct jpeg_decompress_struct info;
    failure failed = {.message = message};
    // Kept in memory rather than in a register, for after the jump.
    uint8_t *volatile pixels = NULL;
    info.err = jpeg_std_error(&failed.manager);
    failed.manager.error_exit = fail;
    failed.manager.emit_message = ignore;
    if (setjmp(failed.back)) {
        jpeg_destroy_decompress(&info);
        free(pixels);
        return -1;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, bytes, count);
    info.src->fill_input_buffer = refill;
    jpeg_read_header(&info, TRUE);
    if (info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK) {
        snprintf(message, WINNOW_JPEG_MESSAGE, "it is CMYK, which has no one meaning on a screen");
        longjmp(failed.back, 1);
    }
    if ((size_t)info.image_width * info.image_height > pixels_max) {
        snprintf(message, WINNOW_JPEG_MESSAGE, "it has %u x %u pixels, too many", info.image_width, info.image_height);
        longjmp(failed.back, 1);
    }
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    const size_t row_bytes = (size_t)info.output_width * 3;
    pixels = malloc(row_bytes * info.output_height);
    if (!pixels) ERREXIT1(&info, JERR_OUT_OF_MEMORY, 0);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = pixels + info.output_scanline * row_bytes;
        jpeg_read_scanlines(&info, &row, 1);
    }
    *width = (int32_t)info.output_width;
    *height = (int32_t)info.output_height;
    *rgb = pixels;
    // The data after the pixels are not needed, and may be cut short.
    jpeg_abort_decompress(&info);
    jpeg_destroy_decompress(&info);
    return 0;
}
