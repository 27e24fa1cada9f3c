"""What is drawn over the viewport: points, masks, markers, the voxel cube, the legend."""
